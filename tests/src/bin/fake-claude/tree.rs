//! Processes that an agent leaves behind, for a supervisor to find and end.

use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::fd::RawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;
use std::time::Duration;

/// First argument of a copy of this program on its way to becoming a daemon.
const LEAD_SESSION: &str = "lead-session";
const CLOSE_ALL_AND_SLEEP: &str = "close-all-and-sleep";
/// First argument of a copy of this program that another user runs, see [`dial`].
const DIAL: &str = "dial";
/// The same, see [`play_server`].
const PLAY_SERVER: &str = "play-server";
/// The same, see [`play_http`].
const PLAY_HTTP: &str = "play-http";
/// First argument of a copy of this program that holds connections open, see [`hold_connections`].
const HOLD_CONNECTIONS: &str = "hold-connections";

/// Leaves a sleeping child in this process group, which keeps this process's output open.
pub(crate) fn leave_child(duration: Duration) {
    let sleeper = Command::new("sleep")
        .arg(duration.as_secs_f64().to_string())
        .stdin(Stdio::null())
        .spawn()
        .expect("`sleep` is installed");
    // Dropping the handle neither waits for the child nor ends it, as intended.
    drop(sleeper);
}

/// The textbook daemon: a child leads a new session, its child closes everything, and the first one
/// exits.
pub(crate) fn daemonize(duration: Duration) {
    let status = again([LEAD_SESSION, &duration.as_secs_f64().to_string()])
        .status()
        .expect("this program can be started again");
    assert!(status.success(), "could not daemonize: {status}");
}

/// If this process is a step of [`daemonize`], performs the step.
pub(crate) fn if_helper(argv: &[String]) -> Option<ExitCode> {
    let [_, step, argument] = argv else { return None };
    match step.as_str() {
        LEAD_SESSION => {
            nix::unistd::setsid().expect("a fresh child leads no group");
            let daemon = again([CLOSE_ALL_AND_SLEEP, argument]).spawn().expect("as before");
            drop(daemon);
            Some(ExitCode::SUCCESS)
        }
        CLOSE_ALL_AND_SLEEP => {
            close_all();
            let error = Command::new("sleep").arg(argument).exec();
            panic!("`sleep` is installed: {error}");
        }
        DIAL => {
            report(dial(Path::new(argument)));
            Some(ExitCode::SUCCESS)
        }
        PLAY_SERVER => {
            report(play_server(Path::new(argument)));
            Some(ExitCode::SUCCESS)
        }
        PLAY_HTTP => {
            play_http(argument);
            Some(ExitCode::SUCCESS)
        }
        HOLD_CONNECTIONS => {
            hold_connections(argument);
            Some(ExitCode::SUCCESS)
        }
        _ => None,
    }
}

/// Takes a server's place at its socket, and reports whether a shim that dials says anything.
fn play_server(socket: &Path) -> &'static str {
    let listener = UnixListener::bind(socket).expect("the directory was made writable");
    fs::set_permissions(socket, fs::Permissions::from_mode(0o666)).expect("our own file");
    let (mut stream, _) = listener.accept().expect("a shim redials");
    let mut first = [0];
    match stream.read(&mut first) {
        Ok(0) | Err(_) => "nothing",
        Ok(_) => "hello",
    }
}

/// Listens like the server and reports for each request whether it carries a token, until its input
/// ends. Passes requests on to the address behind the comma, if there is one.
fn play_http(argument: &str) {
    let (address, behind) =
        argument.split_once(',').map_or((argument, None), |(a, b)| (a, Some(b)));
    let listener = TcpListener::bind(address).expect("nobody has the address");
    report("listens");
    let behind = behind.map(str::to_owned);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("somebody connects");
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                head.push(byte[0]);
            }
            let text = String::from_utf8_lossy(&head).to_lowercase();
            report(if text.contains("authorization:") { "token" } else { "no token" });
            let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec();
            if let Some(behind) = &behind {
                let mut server = TcpStream::connect(behind).expect("the server listens");
                let head = String::from_utf8_lossy(&head)
                    .replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
                server.write_all(head.as_bytes()).expect("the server reads");
                answer.clear();
                server.read_to_end(&mut answer).expect("the server answers");
            }
            // The process that asked may have gone.
            stream.write_all(&answer).unwrap_or_default();
        }
    });
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).expect("our own pipe");
}

/// Opens a thousand connections, reports it, and holds them until its input ends.
fn hold_connections(address: &str) {
    let connect = |_| TcpStream::connect(address).expect("the server listens");
    let held: Vec<TcpStream> = (0..1_000).map(connect).collect();
    report(&held.len().to_string());
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).expect("our own pipe");
    drop(held);
}

/// Says hello to a shim socket with an invalid token, and reports the answer.
fn dial(socket: &Path) -> &'static str {
    let Ok(mut stream) = UnixStream::connect(socket) else { return "unreachable" };
    let hello = br#"{"kind":"hello","protocol_min":1,"protocol_max":1,"build":"0","worker_id":"W-1","token":"x","pid":1}"#;
    let length = u32::try_from(hello.len()).expect("short").to_be_bytes();
    // The other end may have closed already.
    if stream.write_all(&[&length[..], hello].concat()).is_err() {
        return "closed";
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(0) | Err(_) => "closed",
        Ok(_) => "refused",
    }
}

fn again<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Closes every inherited descriptor except the three standard ones, which are /dev/null already.
fn close_all() {
    let open: Vec<RawFd> = fs::read_dir("/proc/self/fd")
        .expect("/proc is there")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    for fd in open {
        match nix::unistd::close(fd) {
            // The descriptor of the listing itself is closed by now.
            Ok(()) | Err(nix::errno::Errno::EBADF) => {}
            Err(errno) => panic!("could not close descriptor {fd}: {errno}"),
        }
    }
}

#[expect(clippy::print_stdout, reason = "standard output is how the parent learns it")]
fn report(what: &str) {
    println!("{what}");
}
