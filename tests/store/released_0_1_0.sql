-- The schema of version 0.1.0, as SQLite itself tells it; databases of that release have no table of versions.
PRAGMA journal_mode=WAL;
CREATE TABLE pictures (
  digest VARCHAR(64) NOT NULL,
  created DATETIME NOT NULL,
  model TEXT NOT NULL,
  weights VARCHAR(64) NOT NULL,
  prompt TEXT NOT NULL,
  seed BIGINT NOT NULL,
  width INTEGER NOT NULL,
  height INTEGER NOT NULL,
  steps INTEGER NOT NULL,
  guidance_scale FLOAT NOT NULL,
  recipe JSON NOT NULL,
  adapter_weights JSON NOT NULL,
  seconds JSON NOT NULL,
  environment JSON NOT NULL,
  warnings JSON NOT NULL,
  fallbacks JSON NOT NULL,
  peak_bytes BIGINT NOT NULL,
  file_bytes BIGINT NOT NULL,
  PRIMARY KEY (digest)
);
CREATE INDEX ix_pictures_created ON pictures (created);
CREATE INDEX ix_pictures_weights_created ON pictures (weights, created);
