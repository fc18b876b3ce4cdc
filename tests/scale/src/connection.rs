//! One keep-alive HTTP/1.1 connection that costs next to nothing: it shares two cores with the server it measures, so every
//! microsecond spent here is taken from the figure.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection with its read buffer.
pub struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

/// Status and body of one answer; the body stays in the connection's buffer until the next request.
pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

impl Connection {
    /// Connects without Nagle's delay.
    pub async fn open(address: SocketAddr) -> io::Result<Connection> {
        Ok(Connection {
            address,
            stream: dial(address).await?,
            buffer: vec![0; 64 * 1024],
            filled: 0,
        })
    }

    /// As [`Connection::exchange`], for a connection that may have been idle for longer than the server keeps one: then a new one is
    /// opened.
    pub async fn exchange_after_idling(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        // Whatever there is to read before the request was sent is the server's goodbye.
        if self.stream.try_read(&mut self.buffer).is_ok() {
            self.stream = dial(self.address).await?;
        }
        self.exchange(request).await
    }

    /// Sends a request as it stands and reads the whole answer.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.filled = 0;
        let (status, start, length) = loop {
            self.read_more().await?;
            if let Some(found) = head(&self.buffer[..self.filled])? {
                break found;
            }
        };
        let end = start + length;
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        while self.filled < end {
            self.read_more().await?;
        }
        Ok(Answer {
            status,
            body: &self.buffer[start..end],
        })
    }

    async fn read_more(&mut self) -> io::Result<()> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        match self.stream.read(&mut self.buffer[self.filled..]).await? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            )),
            read => {
                self.filled += read;
                Ok(())
            }
        }
    }
}

async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Status, where the body starts and its length, once the head is there.
fn head(bytes: &[u8]) -> io::Result<Option<(u16, usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
        return Ok(None);
    };
    let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| broken("a head that is not text"))?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| broken("no status line"))?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())
            .flatten()
    });
    match (status, length) {
        (204 | 304, _) => Ok(Some((status, end + 4, 0))),
        (_, Some(length)) => Ok(Some((status, end + 4, length))),
        (_, None) => Err(broken("an answer without Content-Length")),
    }
}

/// The bytes of a request with a body.
pub fn post(path: &str, key: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// The bytes of a request without a body.
pub fn get(path: &str, key: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::head;

    #[test]
    fn a_head_is_found_only_when_it_is_whole() {
        let bytes = b"HTTP/1.1 202 Accepted\r\ncontent-length: 12\r\nx: y\r\n\r\n{\"accepted\":";
        assert_eq!(head(&bytes[..30]).unwrap(), None);
        assert_eq!(head(bytes).unwrap(), Some((202, 51, 12)));
        assert!(head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
