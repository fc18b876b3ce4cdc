//! A server as a child process: started, watched (memory, CPU), asked for its metrics, ended.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::connection::{Connection, get};

/// A child that is killed when it is dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    log: PathBuf,
}

/// A port nobody listens on.
pub fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

impl Server {
    /// Starts `program` and waits until `ready` answers 200.
    pub async fn start(
        program: &Path,
        arguments: &[String],
        port: u16,
        ready: &str,
        log: PathBuf,
    ) -> Result<Server, String> {
        let file = File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        let errors = file.try_clone().map_err(|e| e.to_string())?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .map_err(|e| format!("can't start {}: {e}", program.display()))?;
        let mut server = Server {
            child,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            log,
        };
        let until = Instant::now() + Duration::from_secs(60);
        let request = get(ready, "");
        loop {
            if let Ok(mut connection) = Connection::open(server.address).await
                && let Ok(answer) = connection.exchange(&request).await
                && answer.status == 200
            {
                return Ok(server);
            }
            server.check()?;
            if Instant::now() > until {
                return Err(format!("not ready after 60 s; its log:\n{}", server.tail()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// An error when the process has ended.
    pub fn check(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("the server ended with {status}; its log:\n{}", self.tail())),
            Err(e) => Err(e.to_string()),
        }
    }

    fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        proc_field(self.child.id(), "status", "VmRSS:").map_or(0, |kib| kib * 1024)
    }

    /// CPU seconds the process has used so far.
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn proc_field(pid: u32, file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// User and system time of a process; Linux counts in ticks of 10 ms.
pub fn cpu_seconds(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = text.rsplit(')').next().unwrap_or("");
    let ticks = |at: usize| {
        after_name
            .split_whitespace()
            .nth(at)
            .and_then(|t| t.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / 100.0
}

/// One Prometheus series, summed over its labels; an error when there is none, since a missing figure is not zero.
pub fn metric(text: &str, name: &str) -> Result<f64, String> {
    let mut found = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some(rest) = line.strip_prefix(name) else { continue };
        let value = match rest.as_bytes().first() {
            Some(b'{') => rest.rsplit_once("} ").map(|(_, v)| v),
            Some(b' ') => rest.strip_prefix(' '),
            _ => None,
        };
        if let Some(value) = value
            .and_then(|v| v.split(' ').next())
            .and_then(|v| v.parse::<f64>().ok())
        {
            found = Some(found.unwrap_or(0.0) + value);
        }
    }
    found.ok_or_else(|| format!("/metrics has no series {name}"))
}

#[cfg(test)]
mod tests {
    use super::metric;

    #[test]
    fn a_series_is_summed_over_labels_and_never_guessed() {
        let text = "# TYPE a counter\na{x=\"1\"} 2\na{x=\"} 9\"} 3\nab 100\nb 1.5 1700000000\n";
        assert_eq!(metric(text, "a"), Ok(5.0));
        assert_eq!(metric(text, "b"), Ok(1.5));
        assert!(metric(text, "c").is_err());
    }
}
