//! The origin `sqlite:`: one query over a database file that is only read.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use super::{Source, check_len};
use crate::byte_view::ByteView;
use crate::error::{BoxError, NotFound, Result};
use crate::getter::Loaded;
use crate::sync::Mutex;

/// How long a load waits for a writer to let go of the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections kept open between loads. More may be open at once: as many as there are loads.
const MAX_IDLE: usize = 8;

const FORM: &str = "write sqlite:PATH?sql=SELECT value FROM t WHERE key=?1";

#[derive(Debug)]
pub(super) struct Sqlite {
    path: PathBuf,
    sql: String,
    idle: Mutex<Vec<Connection>>,
}

impl Sqlite {
    pub(super) fn open(text: &str) -> Result<Self, String> {
        let (path, sql) =
            text.split_once("?sql=").ok_or_else(|| format!("has no ?sql=: {FORM}"))?;
        let cannot = |error: &dyn std::fmt::Display| {
            format!("cannot open the database {path:?}: {error}; it must be there at the start")
        };
        // Absolute: later connections open the same file wherever the program has moved to, and
        // SQLite takes no name for one of its own, as it does `:memory:` and `file:x?mode=rwc`.
        let path = std::fs::canonicalize(path).map_err(|error| cannot(&error))?;
        if !path.is_file() {
            return Err(cannot(&"not a file"));
        }
        let origin = Self { path, sql: sql.to_owned(), idle: Mutex::default() };
        let connection = origin.connect().map_err(|error| cannot(&error))?;
        origin.check(&connection)?;
        origin.idle.lock().push(connection);
        Ok(origin)
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(connection)
    }

    /// The reason why the SQL is not a query for the value of a key, if it is not.
    fn check(&self, connection: &Connection) -> Result<(), String> {
        let statement = connection.prepare(&self.sql).map_err(|error| match error {
            rusqlite::Error::MultipleStatement => format!("holds two statements: {FORM}"),
            error => format!("SQLite does not take the SQL: {error}"),
        })?;
        // BEGIN and ATTACH count as reading too, but have no columns.
        if !statement.readonly() || statement.is_explain() != 0 || statement.column_count() == 0 {
            return Err(format!("the SQL is not a SELECT: {FORM}"));
        }
        match (statement.column_count(), statement.parameter_count()) {
            (1, 1) => Ok(()),
            (1, found) => {
                Err(format!("the SQL has {found} parameters, not one for the key: {FORM}"))
            }
            (found, _) => Err(format!("the SQL has {found} columns, not one value: {FORM}")),
        }
    }

    fn query(
        &self,
        connection: &Connection,
        key: &str,
        value_bytes: usize,
    ) -> Result<ByteView, BoxError> {
        let mut statement = connection.prepare_cached(&self.sql)?;
        let mut rows = statement.query([key])?;
        let row = rows.next()?.ok_or(NotFound)?;
        match row.get_ref(0)? {
            ValueRef::Null => Err(NotFound.into()),
            ValueRef::Integer(number) => Ok(number.to_string().into()),
            // As SQLite prints it: 9.0 stays a REAL to the eye.
            ValueRef::Real(number) => Ok(format!("{number:?}").into()),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                check_len(bytes.len(), value_bytes)?;
                Ok(bytes.into())
            }
        }
    }

    fn put_back(&self, connection: Connection) {
        let mut idle = self.idle.lock();
        if idle.len() < MAX_IDLE {
            idle.push(connection);
            return;
        }
        // Closing takes a while: not with the lock held.
        drop(idle);
        drop(connection);
    }
}

impl Source for Sqlite {
    fn load(&self, key: &str, value_bytes: usize) -> Result<Loaded, BoxError> {
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let result = self.query(&connection, key, value_bytes);
        // After a failure the next load starts afresh.
        if !result.as_ref().is_err_and(|error| error.is::<rusqlite::Error>()) {
            self.put_back(connection);
        }
        result.map(Loaded::new)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Barrier;

    use tempfile::TempDir;

    use super::super::tests::outcome;
    use super::*;

    const SELECT: &str = "SELECT value FROM t WHERE key=?1";

    fn database() -> (TempDir, Connection) {
        let temp = tempfile::tempdir().unwrap();
        let connection = Connection::open(temp.path().join("db")).unwrap();
        let rows = "('text', 'a''b'), ('blob', x'00ff'), ('integer', -7), ('real', 9.0), \
                    ('null', NULL), ('empty', ''), ('ä', 'umlaut'), ('42', 'number')";
        connection
            .execute_batch(&format!(
                "CREATE TABLE t (key TEXT PRIMARY KEY, value); INSERT INTO t VALUES {rows}; \
                 CREATE TABLE ids (id INTEGER PRIMARY KEY, name); INSERT INTO ids VALUES (42, 'x')"
            ))
            .unwrap();
        (temp, connection)
    }

    fn open(folder: &Path, sql: &str) -> Result<Sqlite, String> {
        Sqlite::open(&format!("{}?sql={sql}", folder.join("db").display()))
    }

    fn load(origin: &Sqlite, key: &str) -> Option<String> {
        outcome(origin.load(key, 1_000)).unwrap()
    }

    #[test]
    fn a_value_of_every_type_is_bytes_or_decimal_text() {
        let (temp, _writer) = database();
        let origin = open(temp.path(), SELECT).unwrap();
        for (key, expected) in [
            ("text", Some("a'b")),
            ("integer", Some("-7")),
            ("real", Some("9.0")),
            ("empty", Some("")),
            ("ä", Some("umlaut")),
            ("42", Some("number")),
            ("null", None),
            ("none", None),
            ("", None),
            ("text\0", None),
        ] {
            assert_eq!(load(&origin, key).as_deref(), expected, "{key:?}");
        }
        assert_eq!(origin.load("blob", 2).unwrap().value.to_vec(), [0x00, 0xff]);
    }

    #[test]
    fn a_key_finds_a_row_by_its_integer_id() {
        let (temp, _writer) = database();
        let origin = open(temp.path(), "SELECT name FROM ids WHERE id = :id;  -- by id").unwrap();
        assert_eq!(load(&origin, "42").as_deref(), Some("x"));
    }

    #[test]
    fn a_key_that_is_sql_is_only_a_key() {
        let (temp, writer) = database();
        let origin = open(temp.path(), SELECT).unwrap();
        for key in ["' OR '1'='1", "text' --", "'; DROP TABLE t; --", "?1", "text'||'"] {
            assert_eq!(load(&origin, key), None, "{key}");
        }
        let rows = writer.query_row("SELECT count(*) FROM t", (), |row| row.get::<_, i64>(0));
        assert_eq!(rows, Ok(8));
    }

    #[test]
    fn what_is_not_one_query_with_one_parameter_is_refused() {
        let (temp, _writer) = database();
        for (sql, reason) in [
            ("DELETE FROM t WHERE key=?1", "not a SELECT"),
            ("DELETE FROM t WHERE key=?1 RETURNING value", "not a SELECT"),
            ("INSERT INTO t VALUES (?1, 1)", "not a SELECT"),
            ("EXPLAIN SELECT value FROM t WHERE key=?1", "not a SELECT"),
            ("ATTACH ?1 AS other", "not a SELECT"),
            ("BEGIN", "not a SELECT"),
            ("", "not a SELECT"),
            ("-- nothing", "not a SELECT"),
            ("SELECT ?1; DELETE FROM t", "two statements"),
            ("SELECT value FROM t", "0 parameters"),
            ("SELECT value FROM t WHERE key=?1 OR key=?2", "2 parameters"),
            ("SELECT value FROM t WHERE key=?2", "2 parameters"),
            ("SELECT * FROM t WHERE key=?1", "2 columns"),
            ("SELECT value FROM missing WHERE key=?1", "no such table: missing"),
            ("SELEKT value", "syntax error"),
        ] {
            let error = open(temp.path(), sql).unwrap_err();
            assert!(error.contains(reason), "{reason} is missing in {error:?}");
        }
    }

    #[test]
    fn a_file_that_is_no_database_is_named_and_none_is_created() {
        let (temp, _writer) = database();
        std::fs::write(temp.path().join("text"), "not a database, just some text".repeat(50))
            .unwrap();
        for name in ["none", "", "text", ":memory:", "file:db?mode=memory"] {
            let path = temp.path().join(name);
            assert!(Sqlite::open(&format!("{}?sql={SELECT}", path.display())).is_err(), "{name}");
        }
        let missing = temp.path().join("none");
        let error = Sqlite::open(&format!("{}?sql={SELECT}", missing.display())).unwrap_err();
        assert!(error.contains(missing.to_str().unwrap()), "{error}");
        assert!(!missing.exists());
        for text in [":memory:", "file::memory:", "file:x?mode=memory&cache=shared", ""] {
            let error = Sqlite::open(&format!("{text}?sql=SELECT ?1")).unwrap_err();
            assert!(error.contains("cannot open the database"), "{error}");
        }
        assert!(Sqlite::open("db").unwrap_err().contains("?sql="));
    }

    #[test]
    fn sql_is_taken_as_it_stands_after_the_first_mark() {
        let (temp, _writer) = database();
        let sql = "SELECT '%41?sql=+' || value FROM t WHERE key=?";
        assert_eq!(load(&open(temp.path(), sql).unwrap(), "text").as_deref(), Some("%41?sql=+a'b"));
    }

    #[test]
    fn a_value_over_the_limit_is_refused_with_both_sizes() {
        let (temp, _writer) = database();
        let origin = open(temp.path(), "SELECT zeroblob(?1)").unwrap();
        assert_eq!(load(&origin, "1000").map(|text| text.len()), Some(1_000));
        let error = outcome(origin.load("1001", 1_000)).unwrap_err();
        assert!(error.contains("1001") && error.contains("1000"), "{error}");
    }

    #[test]
    fn a_failed_query_is_an_error_and_the_next_load_starts_afresh() {
        let (temp, writer) = database();
        let origin = open(temp.path(), SELECT).unwrap();
        writer.execute_batch("ALTER TABLE t RENAME TO away").unwrap();
        let error = outcome(origin.load("text", 1_000)).unwrap_err();
        assert!(error.contains("no such table"), "{error}");
        assert_eq!(origin.idle.lock().len(), 0);
        writer.execute_batch("ALTER TABLE away RENAME TO t").unwrap();
        assert_eq!(load(&origin, "text").as_deref(), Some("a'b"));
    }

    #[test]
    fn the_connection_cannot_write() {
        let (temp, _writer) = database();
        let connection = open(temp.path(), SELECT).unwrap().connect().unwrap();
        let error = connection.execute("DELETE FROM t", ()).unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::ReadOnly));
    }

    #[test]
    fn few_connections_stay_open_between_loads() {
        let (temp, _writer) = database();
        let origin = open(temp.path(), SELECT).unwrap();
        let opened: Vec<_> = (0..=MAX_IDLE).map(|_| origin.connect().unwrap()).collect();
        opened.into_iter().for_each(|connection| origin.put_back(connection));
        assert_eq!(origin.idle.lock().len(), MAX_IDLE);
    }

    #[test]
    fn loads_one_after_the_other_share_one_connection() {
        let (temp, _writer) = database();
        let origin = open(temp.path(), SELECT).unwrap();
        for _ in 0..3 {
            assert_eq!(
                (load(&origin, "integer"), load(&origin, "none")),
                (Some("-7".into()), None)
            );
        }
        assert_eq!(origin.idle.lock().len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_relative_path_means_the_folder_of_the_start() {
        let (temp, _writer) = database();
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        let up = "../".repeat(here.components().count() - 1);
        let down = temp.path().canonicalize().unwrap();
        let relative = Path::new(&up).join(down.strip_prefix("/").unwrap());
        let origin = open(&relative, SELECT).unwrap();
        assert_eq!(origin.path, down.join("db"));
        assert_eq!(load(&origin, "integer").as_deref(), Some("-7"));
    }

    #[test]
    fn a_database_in_wal_mode_is_read_while_it_is_written() {
        let (temp, writer) = database();
        writer.query_row("PRAGMA journal_mode=WAL", (), |_| Ok(())).unwrap();
        let origin = open(temp.path(), SELECT).unwrap();
        writer.execute_batch("BEGIN IMMEDIATE; UPDATE t SET value=8 WHERE key='integer'").unwrap();
        assert_eq!(load(&origin, "integer").as_deref(), Some("-7"));
        writer.execute_batch("COMMIT").unwrap();
        assert_eq!(load(&origin, "integer").as_deref(), Some("8"));
    }

    #[test]
    fn many_threads_load_at_once() {
        const THREADS: usize = 16;
        let (temp, writer) = database();
        let origin = open(temp.path(), SELECT).unwrap();
        for n in 0..THREADS {
            writer.execute("INSERT INTO t VALUES (?1, ?1)", [format!("key {n}")]).unwrap();
        }
        let barrier = Barrier::new(THREADS);
        std::thread::scope(|scope| {
            for n in 0..THREADS {
                let (origin, barrier) = (&origin, &barrier);
                scope.spawn(move || {
                    let key = format!("key {n}");
                    for _ in 0..50 {
                        barrier.wait();
                        assert_eq!(load(origin, &key).as_ref(), Some(&key));
                    }
                });
            }
        });
    }
}
