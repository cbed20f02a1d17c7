/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_STORE_SCHEMA_H
#define ZFARM_SINK_STORE_SCHEMA_H

/* The public schema of a store: docs/store.md says what each column means, with examples. People ask
 * the views, so that the tables below them may change. A change that old readers would not survive takes the
 * next number; STORE_SCHEMA_READ is the oldest that is still read, though not gone on with. */
enum {
    STORE_SCHEMA = 2,
    STORE_SCHEMA_READ = 1,
    STORE_APPLICATION = 0x7a66726d /* "zfrm" */
};

static const char store_schema[] =
    "CREATE TABLE job ("
    "  id INTEGER PRIMARY KEY CHECK (id = 1),"
    "  job INTEGER NOT NULL,"
    "  incarnation INTEGER NOT NULL,"
    "  started REAL NOT NULL,"
    "  closed REAL,"
    "  total INTEGER,"
    "  not_run INTEGER NOT NULL DEFAULT 0,"
    "  doubled INTEGER NOT NULL DEFAULT 0,"
    "  workers INTEGER NOT NULL DEFAULT 0,"
    "  opened INTEGER NOT NULL DEFAULT 0,"
    "  input_cut INTEGER NOT NULL DEFAULT 0,"
    "  round INTEGER NOT NULL DEFAULT 0,"
    "  executor TEXT,"
    "  command TEXT,"
    "  command_hash BLOB);"
    "CREATE TABLE task_result ("
    "  seq INTEGER PRIMARY KEY,"
    "  status TEXT NOT NULL,"
    "  exit INTEGER,"
    "  signal INTEGER,"
    "  attempts INTEGER NOT NULL,"
    "  worker TEXT,"
    "  start REAL,"
    "  seconds REAL,"
    "  task,"
    "  hash BLOB,"
    "  stdout,"
    "  stderr,"
    "  record BLOB,"
    "  cut INTEGER,"
    "  rss INTEGER,"
    "  user REAL,"
    "  system REAL,"
    "  strange INTEGER);"
    "CREATE TABLE task_attempt ("
    "  seq INTEGER NOT NULL,"
    "  attempt INTEGER NOT NULL,"
    "  incarnation INTEGER NOT NULL,"
    "  status TEXT NOT NULL,"
    "  exit INTEGER,"
    "  signal INTEGER,"
    "  worker TEXT,"
    "  start REAL,"
    "  seconds REAL,"
    "  stdout,"
    "  stderr,"
    "  cut INTEGER,"
    "  rss INTEGER,"
    "  user REAL,"
    "  system REAL);"
    "CREATE INDEX attempt_of ON task_attempt (seq);"
    "CREATE TABLE file ("
    "  name TEXT PRIMARY KEY,"
    "  length INTEGER NOT NULL,"
    "  next INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE VIEW result AS"
    "  SELECT seq, status, exit, signal, attempts, worker, start, seconds, task, hash, stdout,"
    "    stderr, record, cut, rss, user, system, strange FROM task_result;"
    "CREATE VIEW attempt AS"
    "  SELECT seq, attempt, incarnation, status, exit, signal, worker, start, seconds, stdout,"
    "    stderr, cut, rss, user, system FROM task_attempt;"
    "CREATE VIEW failed AS"
    "  SELECT seq, status, exit, signal, attempts, worker, seconds, task, stderr"
    "  FROM result WHERE status <> 'ok';";

#endif
