//! Who listens where a token is about to be sent.
//!
//! Of a listener on this machine the kernel says whose it is. Where it cannot say, or names somebody whose token this is
//! not, the listener itself has to prove that it has the token already.

use std::fs;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;

use reqwest::StatusCode;
use serde::Deserialize;

use crate::proof;

/// How long it may take to prove itself.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait for a listener that has had too many requests.
const BUSY_PAUSE: Duration = Duration::from_millis(200);
/// The state of a socket that listens, as the kernel's tables have it.
const LISTENS: &str = "0A";
const ROOT: u32 = 0;

/// Why a token is not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unproven {
    #[error("nothing answers there")]
    Silent(#[source] reqwest::Error),
    #[error("{0}")]
    Stranger(String),
}

/// Makes sure that who listens at `base` may have `token`. `owner`: whose file the token was read from, if it was a file.
pub(super) async fn prove(
    http: &reqwest::Client,
    base: &reqwest::Url,
    token: &str,
    owner: Option<u32>,
) -> Result<(), Unproven> {
    let trusted = |uid: u32| {
        // Root, who is also systemd with its sockets, reads every token anyway.
        uid == nix::unistd::geteuid().as_raw() || uid == ROOT || Some(uid) == owner
    };
    let (host, port) = (base.host_str().unwrap_or_default(), base.port_or_known_default());
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = tokio::net::lookup_host((name, port.unwrap_or_default())).await;
    let addresses: Vec<SocketAddr> = addresses.map(Iterator::collect).unwrap_or_default();
    let here: Vec<(SocketAddr, Vec<u32>)> =
        addresses.into_iter().map(|at| (at, owners(at))).filter(|(_, of)| !of.is_empty()).collect();
    if here.is_empty() {
        return challenge(http, base, token).await;
    }
    // A name may have several addresses, each with a listener of its own, and which of them gets the token is not known yet.
    for (address, owners) in here {
        let Some(uid) = owners.iter().find(|uid| !trusted(**uid)) else { continue };
        let mut at = base.clone();
        let is_set = at.set_ip_host(address.ip()).is_ok();
        match challenge(http, if is_set { &at } else { base }, token).await {
            Err(Unproven::Stranger(_)) => {
                return Err(Unproven::Stranger(format!(
                    "it belongs to user {uid} and did not prove that it has the token"
                )));
            }
            answered => answered?,
        }
    }
    Ok(())
}

/// What a listener says to a challenge.
#[derive(Deserialize)]
struct Answer {
    /// For the address it was reached at.
    listener: String,
    /// For its port alone.
    port: String,
}

async fn challenge(
    http: &reqwest::Client,
    base: &reqwest::Url,
    token: &str,
) -> Result<(), Unproven> {
    let stranger = |what: &str| Unproven::Stranger(what.to_owned());
    let mut random = [0; 32];
    getrandom::fill(&mut random)
        .map_err(|_| stranger("could not get random numbers for the challenge"))?;
    let nibbles = random.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    let digits = nibbles.filter_map(|nibble| char::from_digit(u32::from(nibble), 16));
    let challenge: String = digits.collect();
    let mut url = base.clone();
    url.set_path(proof::PATH);
    url.set_query(Some(&format!("challenge={challenge}")));
    let deadline = Instant::now() + PATIENCE;
    let response = loop {
        let asked = http.get(url.clone()).timeout(PATIENCE).send().await;
        let response = asked.map_err(|error| Unproven::Silent(error.without_url()))?;
        // Somebody else uses up what all who have not shown a token share.
        if response.status() != StatusCode::TOO_MANY_REQUESTS {
            break response;
        }
        if Instant::now() + BUSY_PAUSE > deadline {
            return Err(stranger("it is too busy with others to prove that it has the token"));
        }
        tokio::time::sleep(BUSY_PAUSE).await;
    };
    let from = response.remote_addr();
    let silent = "it did not prove that it has the token";
    let answer: Answer = response.json().await.map_err(|_| stranger(silent))?;
    let from = from.ok_or_else(|| stranger("its address is unknown"))?;
    // On this machine many can listen on one port, each at another address, and pass a question on to the right one.
    let proven = proof::is_same(&answer.listener, &proof::at(token, &challenge, from))
        || (!from.ip().to_canonical().is_loopback()
            && proof::is_same(&answer.port, &proof::at_port(token, &challenge, from.port())));
    if proven { Ok(()) } else { Err(stranger(silent)) }
}

/// Whose listeners would take a connection to an address, by the kernel's tables of this network.
fn owners(address: SocketAddr) -> Vec<u32> {
    let read = |table: &str| fs::read_to_string(table).unwrap_or_default();
    let mut owners = listeners(&read("/proc/net/tcp"), address);
    owners.extend(listeners(&read("/proc/net/tcp6"), address));
    owners
}

fn listeners(table: &str, address: SocketAddr) -> Vec<u32> {
    let wanted = address.ip().to_canonical();
    let listener = |line: &str| {
        // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, local, _, LISTENS, _, _, _, uid, ..] = fields.as_slice() else { return None };
        let (ip, port) = local.split_once(':')?;
        let (ip, port) = (ip_of(ip)?, u16::from_str_radix(port, 16).ok()?);
        // One that listens on every address of IPv6 takes IPv4 too, unless it was set not to.
        let takes = ip == wanted || ip.is_unspecified() && (ip.is_ipv6() || wanted.is_ipv4());
        (port == address.port() && takes).then(|| uid.parse().ok()).flatten()
    };
    table.lines().filter_map(listener).collect()
}

/// An address as the kernel prints it: each four bytes as a number of this machine.
fn ip_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = hex.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn the_kernel_says_whose_a_listener_is() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0CCC 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 5 1
   1: 00000000:0CCD 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1002        0 6 1
   2: 0100007F:0CCC 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1003        0 7 1
   3: 0200007F:0CCC 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1004        0 8 1
";
        let table6 = "\
   0: 00000000000000000000000001000000:0CCC 00000000000000000000000000000000:0000 0A 0:0 0:0 0 1005 0 9
   1: 00000000000000000000000000000000:0CCE 00000000000000000000000000000000:0000 0A 0:0 0:0 0 1006 0 9
   2: 0000000000000000FFFF00000100007F:0CCF 00000000000000000000000000000000:0000 0A 0:0 0:0 0 1007 0 9
";
        let whose = |address: &str| {
            let address = address.parse().expect("an address");
            [listeners(table, address), listeners(table6, address)].concat()
        };
        assert_eq!(whose("127.0.0.1:3276"), [1001]);
        assert_eq!(whose("127.0.0.2:3276"), [1004]);
        assert_eq!(whose("127.0.0.1:3277"), [1002]);
        assert_eq!(whose("[::1]:3276"), [1005]);
        assert_eq!(whose("127.0.0.1:3278"), [1006], "on every address, of both kinds");
        assert_eq!(whose("[::1]:3278"), [1006]);
        assert_eq!(whose("127.0.0.1:3279"), [1007]);
        assert_eq!(whose("127.0.0.1:80"), [0_u32; 0]);
        assert_eq!(
            listeners("garbage\n\n 0: x:y z 0A", "127.0.0.1:1".parse().unwrap()),
            [0_u32; 0]
        );
    }

    #[tokio::test]
    async fn an_own_listener_is_known_without_a_word() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("has an address");
        assert_eq!(owners(address), [nix::unistd::geteuid().as_raw()]);
        let base = format!("http://localhost:{}", address.port()).parse().expect("a URL");
        prove(&reqwest::Client::new(), &base, "token", None).await.expect("it is our own");
    }

    /// Answers a challenge with `token`, for the address `at`, or its own.
    async fn answering(token: &'static str, at: Option<SocketAddr>) -> reqwest::Url {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has an address");
        let answer = move |query: axum::extract::RawQuery| async move {
            let query = query.0.unwrap_or_default();
            let challenge = query.strip_prefix("challenge=").unwrap_or_default().to_owned();
            assert!(proof::is_challenge(&challenge), "{challenge}");
            axum::Json(serde_json::json!({
                "listener": proof::at(token, &challenge, at.unwrap_or(address)),
                "port": proof::at_port(token, &challenge, address.port()),
            }))
        };
        let router = axum::Router::new().route(proof::PATH, axum::routing::get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}").parse().expect("a URL")
    }

    #[tokio::test]
    async fn who_has_the_token_proves_it_and_who_passes_the_question_on_does_not() {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let ask = async |url: reqwest::Url| challenge(&http, &url, "token").await.is_ok();
        assert!(ask(answering("token", None).await).await);
        assert!(!ask(answering("other", None).await).await);
        let elsewhere = "127.0.0.2:3276".parse().ok();
        assert!(
            !ask(answering("token", elsewhere).await).await,
            "of this machine, the address counts"
        );
    }
}
