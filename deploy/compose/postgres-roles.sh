#!/bin/bash
# Once, when the data directory is empty: the role and the database of Evenhand. The role may replicate (the change feed needs it) and owns
# its own database, where it makes tables and the publication itself; it is no superuser.
set -euo pipefail
psql --username "$POSTGRES_USER" --dbname postgres --no-psqlrc -v ON_ERROR_STOP=1 -v password="$(cat /run/secrets/postgres-password)" <<'SQL'
CREATE ROLE evenhand LOGIN REPLICATION PASSWORD :'password';
CREATE DATABASE evenhand OWNER evenhand;
SQL
