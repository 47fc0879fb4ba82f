//! moto, which speaks the protocol of S3 (`moto[server]` of PyPI in the tests' Python environment).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::free_port;

/// Ends with its standard input, so that it never outlives the tests.
///
/// moto looks at the condition of a write, puts the object in its place and gives it its metadata in three steps, between
/// which other threads come: two writers under one condition could both win, and a reader could see an object without
/// metadata. S3 does all of it at once; so does this, by answering one request at a time. Bodies are read before, since
/// the body of one request may wait for that of another.
///
/// moto also answers 500 where an upload in parts is no more, as to a part after an abort; S3 answers 404, and so does this.
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
from moto.s3.exceptions import NoSuchUpload
from moto.s3.models import S3Backend
def known(call):
    def checked(self, bucket_name, multipart_id, *rest, **named):
        if multipart_id not in self.get_bucket(bucket_name).multiparts:
            raise NoSuchUpload(upload_id=multipart_id)
        return call(self, bucket_name, multipart_id, *rest, **named)
    return checked
for name in 'upload_part', 'complete_multipart_upload':
    setattr(S3Backend, name, known(getattr(S3Backend, name)))
main(['-H', '127.0.0.1', '-p', sys.argv[1]])
";

/// A server with the protocol of S3, in memory. It takes any key.
#[derive(Debug)]
pub struct Moto {
    port: u16,
    process: Child,
}

impl Moto {
    /// Starts one and waits until it answers.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        let python = crate::python().unwrap_or_else(|missing| panic!("{missing}"));
        let port = free_port();
        let process = Command::new(python)
            .args(["-c", SERVER, &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Python starts");
        let moto = Self { port, process };
        let deadline = Instant::now() + Duration::from_secs(60);
        while moto.request("GET", "/").is_none() {
            assert!(Instant::now() < deadline, "moto does not answer; is `moto[server]` installed?");
            std::thread::sleep(Duration::from_millis(100));
        }
        moto
    }

    /// One server for all the tests of this process. They share it: give each a bucket of its own.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Moto> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// The port on the loopback interface.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes a bucket.
    #[track_caller]
    pub fn make_bucket(&self, name: &str) {
        let answer = self.request("PUT", &format!("/{name}")).expect("moto answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Sends a request without a body, unsigned, and gives the whole answer; `None` when there is none.
    #[must_use]
    pub fn request(&self, method: &str, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer).into_owned())
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.process.stdin.take());
        drop(self.process.wait());
    }
}
