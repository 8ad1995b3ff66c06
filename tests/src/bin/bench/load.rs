//! The same request again and again, from a number of clients at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use serde_json::Value;
use serde_json::json;
use tokio::sync::Barrier;

use crate::connection::Connection;
use crate::report::Quantiles;

/// The result of one load.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) what: String,
    pub(crate) clients: usize,
    pub(crate) requests: usize,
    pub(crate) took: Duration,
    pub(crate) latency: Quantiles,
    latencies: Vec<Duration>,
}

/// How many requests of one load a server gets before the other server's turn, as a fraction of
/// all.
const TURNS: usize = 20;

impl Load {
    /// Sends `requests` in total, shared evenly; each client waits for its answer before it sends
    /// again.
    pub(crate) async fn run(
        what: &str,
        address: SocketAddr,
        clients: usize,
        requests: usize,
        request: &[u8],
    ) -> anyhow::Result<Self> {
        let request: Arc<[u8]> = request.into();
        let each = requests / clients;
        let start = Arc::new(Barrier::new(clients + 1));
        let mut running = Vec::with_capacity(clients);
        for _ in 0..clients {
            let (request, start) = (Arc::clone(&request), Arc::clone(&start));
            let mut connection = Connection::open(address).await?;
            running.push(tokio::spawn(async move {
                let mut latencies = Vec::with_capacity(each);
                start.wait().await;
                for _ in 0..each {
                    let sent = Instant::now();
                    connection.exchange(&request).await?;
                    latencies.push(sent.elapsed());
                }
                anyhow::Ok(latencies)
            }));
        }
        start.wait().await;
        let begun = Instant::now();
        let mut latencies = Vec::with_capacity(requests);
        for client in running {
            latencies.extend(client.await?.with_context(|| format!("{what} failed"))?);
        }
        let took = begun.elapsed();
        Ok(Self {
            what: what.to_owned(),
            clients,
            requests: latencies.len(),
            took,
            latency: Quantiles::of(latencies.clone()),
            latencies,
        })
    }

    /// The same load on several servers in turn, a part at a time, so that other work on the
    /// machine affects all of them.
    pub(crate) async fn in_turn(
        on: &[(String, SocketAddr, Vec<u8>)],
        clients: usize,
        requests: usize,
    ) -> anyhow::Result<Vec<Self>> {
        let part = (requests / TURNS).max(clients);
        let mut loads: Vec<Self> = Vec::new();
        for turn in 0..TURNS {
            for (at, (what, address, request)) in on.iter().enumerate() {
                let load = Self::run(what, *address, clients, part, request).await?;
                if turn == 0 {
                    loads.push(load);
                } else {
                    loads[at].add(load);
                }
            }
        }
        Ok(loads)
    }

    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.took += other.took;
        self.latencies.extend(other.latencies);
        self.latency = Quantiles::of(self.latencies.clone());
    }

    pub(crate) fn rate(&self) -> f64 {
        crate::report::per_second(self.requests, self.took)
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "what": self.what, "clients": self.clients, "requests": self.requests,
            "rate_per_second": self.rate(), "latency": self.latency.to_json(),
        })
    }
}
