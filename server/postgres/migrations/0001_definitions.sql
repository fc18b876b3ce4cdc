-- Documents are text: they are written and read as a whole, and hashes are made of their bytes.
CREATE TABLE documents (
    kind TEXT NOT NULL, scope TEXT NOT NULL, key TEXT NOT NULL,
    version BIGINT NOT NULL, created_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (kind, scope, key)
);

CREATE TABLE salts (salt TEXT PRIMARY KEY, state BIGINT NOT NULL, length BIGINT NOT NULL, UNIQUE (state, length));

-- unnamed_ms: since when no segment names the list; it is kept a while longer, for those that hold an older manifest.
CREATE TABLE lists (sha256 TEXT PRIMARY KEY, bytes BYTEA NOT NULL, unnamed_ms BIGINT);

CREATE TABLE audit (
    seq BIGINT PRIMARY KEY, at_ms BIGINT NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL,
    project TEXT, environment TEXT, before TEXT NOT NULL, after TEXT NOT NULL, published TEXT NOT NULL,
    prev_hash TEXT NOT NULL, hash TEXT NOT NULL
);
CREATE INDEX audit_by_target ON audit (target, seq);
CREATE INDEX audit_by_environment ON audit (environment, seq);

-- The end of the chain. Every commit begins with the update of this one row, which is its lock and its comparison at once.
CREATE TABLE audit_head (single BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (single), seq BIGINT NOT NULL, hash TEXT NOT NULL);
INSERT INTO audit_head (seq, hash) VALUES (0, repeat('0', 64));

-- Published versions. Their bytes lie in a table of their own, so that the rows that replication decodes are a few hundred bytes.
CREATE TABLE manifests (
    environment TEXT NOT NULL, version BIGINT NOT NULL, generation BIGINT NOT NULL, issued_at_ms BIGINT NOT NULL,
    server_hash TEXT NOT NULL, client_hash TEXT NOT NULL, audit_seq BIGINT NOT NULL,
    PRIMARY KEY (environment, version)
);
CREATE INDEX manifests_by_change ON manifests (audit_seq);
CREATE TABLE manifest_bytes (
    environment TEXT NOT NULL, version BIGINT NOT NULL, server_bytes BYTEA NOT NULL, client_bytes BYTEA NOT NULL,
    PRIMARY KEY (environment, version)
);
