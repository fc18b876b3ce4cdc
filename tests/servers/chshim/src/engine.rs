//! The engine: the C interface of `libchdb.so`. A connection runs one query at a time; of several, each runs its own.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    ops::Deref,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use libloading::Library;

/// What the library hands out and takes back, never looked into.
type Handle = *mut c_void;

/// The functions that are used, by the names and types of `chdb.h` (which the npm package does not carry).
macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        struct Functions { $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?),* }

        impl Functions {
            fn of(library: &'static Library) -> Result<Self, String> {
                Ok(Self { $($name: *unsafe { library.get(stringify!($name)) }.map_err(|error| error.to_string())?),* })
            }
        }
    };
}

functions! {
    chdb_connect: fn(c_int, *const *const c_char) -> *mut Handle;
    chdb_close_conn: fn(*mut Handle);
    chdb_query_with_params_n: fn(Handle, *const u8, usize, *const u8, usize, *const *const u8, *const usize, *const *const u8, *const usize, usize) -> Handle;
    chdb_destroy_query_result: fn(Handle);
    chdb_result_buffer: fn(Handle) -> *const u8;
    chdb_result_length: fn(Handle) -> usize;
    chdb_result_error: fn(Handle) -> *const c_char;
    chdb_stream_insert_n: fn(Handle, *const u8, usize, *const u8, usize) -> Handle;
    chdb_stream_append: fn(Handle, *const u8, usize) -> c_int;
    chdb_stream_done: fn(Handle) -> Handle;
    chdb_stream_insert_error: fn(Handle) -> *const c_char;
    chdb_stream_cancel_insert: fn(Handle);
    chdb_destroy_insert_stream: fn(Handle);
}

/// Queries that run at a time.
const CONNECTIONS: usize = 8;
/// How long the end waits for queries that run.
const LAST_QUERY: Duration = Duration::from_secs(10);

/// The open engine.
pub struct Engine {
    functions: Functions,
    /// Those that are free.
    connections: Mutex<Vec<Connection>>,
    freed: Condvar,
}

struct Connection(*mut Handle);

// SAFETY: the library lets any thread use a connection as long as only one does at a time: whoever has one has taken it out of the list.
unsafe impl Send for Connection {}

/// A connection that somebody has.
struct Taken<'a> {
    engine: &'a Engine,
    /// None at the end only.
    connection: Option<Connection>,
}

impl Deref for Taken<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("it goes back at the end only")
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.engine.free().extend(self.connection.take());
        self.engine.freed.notify_one();
    }
}

impl Engine {
    /// Loads the library and opens (or makes) the data in `directory`.
    pub fn open(library: &str, directory: &str) -> Result<Self, String> {
        // SAFETY: the library of the caller's choice runs its initialisers here; that is what was asked for.
        let loaded = unsafe { Library::new(library) }
            .map_err(|error| format!("{library} can't be loaded: {error}; `ci/servers` installs it"))?;
        // It is never unloaded: it has threads of its own.
        let functions = Functions::of(Box::leak(Box::new(loaded)))
            .map_err(|error| format!("{library} is another version of chdb: {error}"))?;
        std::fs::create_dir_all(directory).map_err(|error| format!("{directory} can't be made: {error}"))?;
        let arguments = ["clickhouse".to_owned(), format!("--path={directory}")]
            .map(|argument| CString::new(argument).expect("an argument of a process has no NUL"));
        let pointers = arguments.each_ref().map(|argument| argument.as_ptr());
        let mut connections = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            // SAFETY: two NUL-terminated texts, alive through the call.
            let connection = unsafe { (functions.chdb_connect)(2, pointers.as_ptr()) };
            if connection.is_null() {
                return Err(format!(
                    "the engine can't open {directory}: the reason is in the lines above; another process may hold it"
                ));
            }
            connections.push(Connection(connection));
        }
        Ok(Self {
            functions,
            connections: Mutex::new(connections),
            freed: Condvar::new(),
        })
    }

    fn free(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connection(&self) -> Taken<'_> {
        let mut free = self
            .freed
            .wait_while(self.free(), |free| free.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        Taken {
            engine: self,
            connection: free.pop(),
        }
    }

    /// Runs one statement and gives its result in `format`. Parameters are `{name:Type}` in the text.
    pub fn query(
        &self,
        database: Option<&str>,
        sql: &str,
        format: &str,
        parameters: &[(String, String)],
    ) -> Result<Vec<u8>, String> {
        let connection = self.connection();
        self.choose(&connection, database)?;
        self.run(&connection, sql, format, parameters)
    }

    /// Runs `INSERT INTO …` with rows in `format`.
    pub fn insert(&self, database: Option<&str>, sql: &str, format: &str, rows: &[u8]) -> Result<Vec<u8>, String> {
        let connection = self.connection();
        self.choose(&connection, database)?;
        let it = &self.functions;
        // SAFETY: every pointer goes with its length and lives through the call; the stream is destroyed exactly once.
        unsafe {
            let stream =
                (it.chdb_stream_insert_n)(*connection.0, sql.as_ptr(), sql.len(), format.as_ptr(), format.len());
            let mut failed = text(stream_error(it, stream));
            if failed.is_none() && !rows.is_empty() && (it.chdb_stream_append)(stream, rows.as_ptr(), rows.len()) != 0 {
                failed = Some(text(stream_error(it, stream)).unwrap_or_else(|| "the rows were not taken".to_owned()));
            }
            let result = if let Some(message) = failed {
                (it.chdb_stream_cancel_insert)(stream);
                Err(message)
            } else {
                self.take((it.chdb_stream_done)(stream))
            };
            (it.chdb_destroy_insert_stream)(stream);
            result
        }
    }

    /// Closes the data. Nothing may be asked afterwards.
    pub fn close(&self) {
        // One that runs a query for longer ends with the process.
        let (mut free, _) = self
            .freed
            .wait_timeout_while(self.free(), LAST_QUERY, |free| free.len() < CONNECTIONS)
            .unwrap_or_else(PoisonError::into_inner);
        for connection in free.drain(..) {
            // SAFETY: the connection is open, nobody has it, and the process ends after this.
            unsafe { (self.functions.chdb_close_conn)(connection.0) }
        }
    }

    fn choose(&self, connection: &Connection, database: Option<&str>) -> Result<(), String> {
        let name = database
            .filter(|name| !name.is_empty())
            .unwrap_or("default")
            .replace('`', "``");
        self.run(connection, &format!("USE `{name}`"), "TSV", &[]).map(drop)
    }

    fn run(
        &self,
        connection: &Connection,
        sql: &str,
        format: &str,
        parameters: &[(String, String)],
    ) -> Result<Vec<u8>, String> {
        let (names, name_lengths): (Vec<_>, Vec<_>) =
            parameters.iter().map(|(name, _)| (name.as_ptr(), name.len())).unzip();
        let (values, value_lengths): (Vec<_>, Vec<_>) = parameters
            .iter()
            .map(|(_, value)| (value.as_ptr(), value.len()))
            .unzip();
        // SAFETY: every pointer goes with its length (or the number of parameters) and lives through the call.
        unsafe {
            self.take((self.functions.chdb_query_with_params_n)(
                *connection.0,
                sql.as_ptr(),
                sql.len(),
                format.as_ptr(),
                format.len(),
                names.as_ptr(),
                name_lengths.as_ptr(),
                values.as_ptr(),
                value_lengths.as_ptr(),
                parameters.len(),
            ))
        }
    }

    /// The bytes or the error of a result, which is destroyed.
    unsafe fn take(&self, result: Handle) -> Result<Vec<u8>, String> {
        if result.is_null() {
            return Err("the engine gave no result".to_owned());
        }
        let it = &self.functions;
        // SAFETY: the result is the library's and alive; its bytes are copied before it is destroyed, once.
        unsafe {
            let error = text((it.chdb_result_error)(result));
            let (start, length) = ((it.chdb_result_buffer)(result), (it.chdb_result_length)(result));
            let bytes = if start.is_null() {
                Vec::new()
            } else {
                std::slice::from_raw_parts(start, length).to_vec()
            };
            (it.chdb_destroy_query_result)(result);
            error.map_or(Ok(bytes), Err)
        }
    }
}

unsafe fn stream_error(functions: &Functions, stream: Handle) -> *const c_char {
    // SAFETY: the stream is the caller's and alive.
    unsafe { (functions.chdb_stream_insert_error)(stream) }
}

fn text(pointer: *const c_char) -> Option<String> {
    // SAFETY: the library's texts end with NUL and live as long as what they belong to.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
}
