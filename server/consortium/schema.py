"""The tables of the registry. Times are ISO 8601 in UTC, of one length, so that they sort."""

from __future__ import annotations

VERSION = 1

SCHEMA = f"""
BEGIN;
CREATE TABLE IF NOT EXISTS sites (
    name TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('invited', 'active', 'revoked')),
    public_key BLOB UNIQUE,
    invited_at TEXT NOT NULL,
    joined_at TEXT,
    revoked_at TEXT
);

-- Named by the public half of the token; the token itself is in the kit and nowhere else.
CREATE TABLE IF NOT EXISTS invitations (
    invitation TEXT PRIMARY KEY,
    site TEXT NOT NULL REFERENCES sites (name),
    made_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    used_at TEXT,
    used_by BLOB,
    withdrawn_at TEXT
);

-- Requests that were answered, so that a copy of one is known for what it is.
CREATE TABLE IF NOT EXISTS requests (
    digest TEXT PRIMARY KEY,
    invitation TEXT NOT NULL REFERENCES invitations (invitation),
    answered_at TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS certificates (
    serial TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    issued_at TEXT NOT NULL,
    not_after TEXT NOT NULL,
    revoked_at TEXT
);
CREATE INDEX IF NOT EXISTS certificates_of ON certificates (role, name);

-- Keys that nobody may join with again.
CREATE TABLE IF NOT EXISTS retired_keys (
    public_key BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    retired_at TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS operators (
    name TEXT PRIMARY KEY,
    rank TEXT NOT NULL CHECK (rank IN ('viewer', 'operator', 'admin')),
    public_key BLOB NOT NULL UNIQUE,
    since TEXT NOT NULL,
    revoked_at TEXT
);

CREATE TABLE IF NOT EXISTS meta (one INTEGER PRIMARY KEY CHECK (one = 1), changes INTEGER NOT NULL);
INSERT OR IGNORE INTO meta VALUES (1, 0);
PRAGMA user_version = {VERSION};
COMMIT;
"""
