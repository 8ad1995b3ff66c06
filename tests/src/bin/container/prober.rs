//! A client that connects to the server all the time and counts the outcomes.

use std::io::ErrorKind;
use std::io::Read as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

/// The outcomes of the connections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) answered: u32,
    /// Nobody listened, which must not happen.
    pub(crate) refused: u32,
    /// The server was killed while it answered.
    pub(crate) cut: u32,
}

pub(crate) struct Prober {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Prober {
    /// Starts probing, in the network of the calling thread.
    pub(crate) fn start(address: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut seen = Seen::default();
            while !told.load(Ordering::SeqCst) {
                match ask(address) {
                    Ok(()) => seen.answered += 1,
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => seen.refused += 1,
                    Err(_) => seen.cut += 1,
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            seen
        });
        Self { stop, thread }
    }

    pub(crate) fn stop(self) -> Seen {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the prober does not panic")
    }
}

fn ask(address: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    // Longer than a start takes: a connection that nobody accepted waits for the next server.
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(stream, "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}
