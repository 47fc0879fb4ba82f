//! A server that speaks Redis's protocol and answers as a test wants.

use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What becomes of a command.
#[derive(Debug, Clone)]
pub enum Reply {
    /// These bytes.
    Bytes(&'static [u8]),
    /// These bytes, then the end of the connection.
    Close(&'static [u8]),
    /// Nothing, ever.
    Silence,
}

/// Greets as Redis does, and answers everything else as `reply` says, one answer for each command.
pub async fn stub(reply: impl Fn(&[Vec<u8>]) -> Reply + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let reply = Arc::new(reply);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let reply = Arc::clone(&reply);
            // The client may hang up in the middle.
            tokio::spawn(async move { drop(serve(socket, &*reply).await) });
        }
    });
    address
}

async fn serve(
    mut socket: TcpStream,
    reply: &(dyn Fn(&[Vec<u8>]) -> Reply + Send + Sync),
) -> std::io::Result<()> {
    let mut received = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let count = socket.read(&mut chunk).await?;
        if count == 0 {
            return Ok(());
        }
        received.extend_from_slice(&chunk[..count]);
        while let Some((command, length)) = parse(&received) {
            received.drain(..length);
            let name = command[0].to_ascii_uppercase();
            let reply = match &*name {
                b"HELLO" => Reply::Bytes(b"%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n"),
                b"CLIENT" => Reply::Bytes(b"+OK\r\n"),
                _ => reply(&command),
            };
            match reply {
                Reply::Bytes(bytes) => socket.write_all(bytes).await?,
                Reply::Close(bytes) => return socket.write_all(bytes).await,
                Reply::Silence => {}
            }
        }
    }
}

/// The first whole command, and how many bytes it took.
fn parse(bytes: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let mut at = 0;
    let mut line = |mark: u8| {
        let end = bytes[at..].windows(2).position(|two| two == b"\r\n")? + at;
        assert_eq!(bytes[at], mark, "a client speaks in arrays of bulk strings");
        let number: usize = std::str::from_utf8(&bytes[at + 1..end]).unwrap().parse().unwrap();
        at = end + 2;
        Some((number, at))
    };
    let (count, mut here) = line(b'*')?;
    let mut parts = Vec::with_capacity(count);
    for _ in 0..count {
        let rest = bytes.get(here..)?;
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let length: usize = std::str::from_utf8(rest.get(1..end)?).unwrap().parse().unwrap();
        let start = here + end + 2;
        parts.push(bytes.get(start..start + length)?.to_vec());
        here = start + length + 2;
    }
    (bytes.len() >= here).then_some((parts, here))
}
