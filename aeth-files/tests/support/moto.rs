//! moto, which speaks the protocol of S3 (`moto[server]` of PyPI in the tests' Python environment).
#![allow(dead_code, unreachable_pub, reason = "not every test uses all of it")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Ends with its standard input, so that it never outlives the tests.
///
/// moto looks at the condition of a write, puts the object in its place and gives it its metadata in three steps, between
/// which other threads come: two writers under one condition could both win, and a reader could see an object without
/// metadata. S3 does all of it at once; so does this, by answering one request at a time. Bodies are read before, since
/// the body of one request may wait for that of another.
const SERVER: &str = "
import io, os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
from moto.server import DomainDispatcherApplication, main
turn, answer = threading.Lock(), DomainDispatcherApplication.__call__
def alone(self, environ, start_response):
    body, length = environ['wsgi.input'], environ.get('CONTENT_LENGTH')
    if length:
        environ['wsgi.input'] = io.BytesIO(body.read(int(length)))
    elif environ.get('wsgi.input_terminated'):
        environ['wsgi.input'] = io.BytesIO(body.read())
    with turn:
        chunks = answer(self, environ, start_response)
        try:
            return list(chunks)
        finally:
            getattr(chunks, 'close', lambda: None)()
DomainDispatcherApplication.__call__ = alone
main(['-H', '127.0.0.1', '-p', sys.argv[1]])
";

pub(crate) struct Moto {
    pub(crate) port: u16,
    _process: Child,
}

pub(crate) fn moto() -> &'static Moto {
    static SERVER_OF_ALL: OnceLock<Moto> = OnceLock::new();
    SERVER_OF_ALL.get_or_init(|| {
        let python = testkit::python().unwrap_or_else(|missing| panic!("{missing}"));
        let port = testkit::free_port();
        let process = Command::new(python)
            .args(["-c", SERVER, &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let moto = Moto { port, _process: process };
        let deadline = Instant::now() + Duration::from_secs(60);
        while moto.request("GET", "/").is_none() {
            assert!(Instant::now() < deadline, "moto does not answer; is `moto[server]` installed?");
            std::thread::sleep(Duration::from_millis(100));
        }
        moto
    })
}

impl Moto {
    pub(crate) fn request(&self, method: &str, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}
