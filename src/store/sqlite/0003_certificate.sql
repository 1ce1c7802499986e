-- Certificates that authorities issued to the gateway, and its accounts there. The key of a certificate and the whole account
-- are sealed; a certificate is public.

CREATE TABLE acme_account (
    directory      TEXT PRIMARY KEY,
    sealed_account BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE issued_certificate (
    host       TEXT    PRIMARY KEY,
    directory  TEXT    NOT NULL,
    chain      TEXT    NOT NULL,
    sealed_key BLOB    NOT NULL,
    not_after  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
