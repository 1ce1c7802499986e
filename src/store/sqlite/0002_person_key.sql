-- The key that seals a person's values in audit records. Without the row nobody opens them.
-- Somebody who was only ever invited has no issuer, and the e-mail address in the place of the sub.

CREATE TABLE person_key (
    issuer     TEXT NOT NULL,
    sub        TEXT NOT NULL,
    pseudonym  TEXT NOT NULL UNIQUE,
    sealed_key BLOB NOT NULL,
    PRIMARY KEY (issuer, sub)
) STRICT, WITHOUT ROWID;
