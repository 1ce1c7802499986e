-- Times are microseconds since the Unix epoch, UTC. Columns named sealed_* hold values of store::sealing.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE subject (
    issuer     TEXT    NOT NULL,
    sub        TEXT    NOT NULL,
    identity   TEXT    NOT NULL,
    email      TEXT,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    locked     INTEGER NOT NULL CHECK (locked IN (0, 1)),
    PRIMARY KEY (issuer, sub)
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
    id              BLOB    PRIMARY KEY CHECK (length(id) = 16),
    issuer          TEXT    NOT NULL,
    sub             TEXT    NOT NULL,
    idp             TEXT    NOT NULL,
    identity        TEXT    NOT NULL,
    assurance       TEXT    NOT NULL,
    created         INTEGER NOT NULL,
    authenticated   INTEGER NOT NULL,
    last_seen       INTEGER NOT NULL,
    end_reason      TEXT,
    ended           INTEGER,
    idp_session     TEXT,
    lineage         BLOB    NOT NULL CHECK (length(lineage) = 32),
    address         TEXT,
    user_agent      TEXT,
    sealed_id_token BLOB,
    CHECK ((ended IS NULL) = (end_reason IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX session_of_subject ON session (issuer, sub);
CREATE INDEX session_of_idp_session ON session (issuer, idp_session) WHERE idp_session IS NOT NULL;
CREATE INDEX session_ended ON session (ended) WHERE ended IS NOT NULL;

CREATE TABLE cookie (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    hash    BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    session BLOB NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    host    TEXT NOT NULL
) STRICT;
CREATE INDEX cookie_of_session ON cookie (session, host);

CREATE TABLE totp (
    issuer        TEXT    NOT NULL,
    sub           TEXT    NOT NULL,
    sealed_secret BLOB    NOT NULL,
    enrolled      INTEGER NOT NULL,
    last_step     INTEGER NOT NULL,
    PRIMARY KEY (issuer, sub)
) STRICT, WITHOUT ROWID;

CREATE TABLE recovery_code (
    issuer TEXT NOT NULL,
    sub    TEXT NOT NULL,
    hash   BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (issuer, sub, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempt (
    issuer       TEXT    NOT NULL,
    sub          TEXT    NOT NULL,
    failures     INTEGER NOT NULL,
    last_failure INTEGER NOT NULL,
    PRIMARY KEY (issuer, sub)
) STRICT, WITHOUT ROWID;

CREATE TABLE invite (
    hash    BLOB    PRIMARY KEY CHECK (length(hash) = 32),
    email   TEXT    NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE seen_once (
    id    BLOB    PRIMARY KEY CHECK (length(id) = 32),
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE secret (
    name         TEXT PRIMARY KEY,
    sealed_value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
