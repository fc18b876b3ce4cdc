//! The real servers of the tests, started on loopback, killed and restarted. `servers.py` beside this crate knows how; it is what the
//! tests written in Python use too.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// A running server with a directory of its own. It ends when this is dropped.
pub struct Server {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    /// How a client names it: `postgres://…`, `redis://…`, `http://…`; a bare `host:port` for Kafka.
    pub url: String,
    _directory: tempfile::TempDir,
}

impl Server {
    /// Starts `postgres`, `redis`, `kafka` or `clickhouse`, with settings of its own (`name=value`).
    ///
    /// # Panics
    /// It can't be started: the message is the server's.
    #[must_use]
    pub fn start(kind: &str, settings: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory for the server");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers.py");
        let mut child = Command::new("python3")
            .arg(script)
            .arg(kind)
            .arg(directory.path())
            .args(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let commands = child.stdin.take();
        let mut answers = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        let mut line = String::new();
        answers.read_line(&mut line).expect("it answers");
        let mut words = line.trim().splitn(3, ' ');
        match (
            words.next(),
            words.next().and_then(|port| port.parse().ok()),
            words.next(),
        ) {
            (Some("ready"), Some(port), Some(url)) => Self {
                child,
                commands,
                answers,
                port,
                url: url.to_owned(),
                _directory: directory,
            },
            _ => panic!("{kind} can't be started: {}", line.trim().replace(" | ", "\n")),
        }
    }

    fn ask(&mut self, command: &str) {
        let input = self.commands.as_mut().expect("it runs");
        writeln!(input, "{command}")
            .and_then(|()| input.flush())
            .expect("it takes commands");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        assert!(line.trim() == "ok", "{command}: {}", line.trim().replace(" | ", "\n"));
    }

    /// Ends it as an operator would.
    pub fn stop(&mut self) {
        self.ask("stop");
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.ask("kill");
    }

    /// Starts it again, on the same port, with the same data.
    pub fn restart(&mut self) {
        self.ask("start");
    }

    /// Alive and silent, until [`Server::resume`].
    pub fn pause(&mut self) {
        self.ask("pause");
    }

    /// Goes on after [`Server::pause`].
    pub fn resume(&mut self) {
        self.ask("resume");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.commands = None;
        let _gone = self.child.wait();
    }
}
