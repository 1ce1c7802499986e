-- Hosts for which no certificate could be had the last time, and when they may be tried again: authorities limit how often they
-- are asked in vain, however often the gateway starts.

CREATE TABLE acme_attempt (
    host     TEXT    PRIMARY KEY,
    failures INTEGER NOT NULL CHECK (failures > 0),
    reason   TEXT    NOT NULL,
    next_try INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
