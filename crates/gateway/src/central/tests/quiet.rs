//! A connection that somebody between has forgotten.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::atomic::AtomicU64,
    time::Instant,
};

use super::*;

/// Passes bytes on, until it forgets the connections that it has: what comes on those it swallows.
struct Between {
    address: SocketAddr,
    forgotten: Arc<AtomicU64>,
}

impl Between {
    fn of(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
        let address = listener.local_addr().expect("an address");
        let forgotten = Arc::new(AtomicU64::new(0));
        let forgets = Arc::clone(&forgotten);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let upstream = TcpStream::connect(&server).expect("connects");
                let born = forgets.load(Relaxed);
                for (from, to) in [(&client, &upstream), (&upstream, &client)] {
                    let (mut from, mut to) =
                        (from.try_clone().expect("a copy"), to.try_clone().expect("a copy"));
                    let forgets = Arc::clone(&forgets);
                    std::thread::spawn(move || {
                        let mut bytes = [0; 8192];
                        while let Ok(read @ 1..) = from.read(&mut bytes) {
                            if forgets.load(Relaxed) == born && to.write_all(&bytes[..read]).is_err() {
                                return;
                            }
                        }
                        if forgets.load(Relaxed) == born {
                            let _closed = to.shutdown(std::net::Shutdown::Both);
                        }
                    });
                }
            }
        });
        Self { address, forgotten }
    }
}

fn ask(central: &Central) -> Result<(), CentralError> {
    central.run("asking", |client| {
        Box::pin(async move { client.batch_execute("SELECT 1").await.map_err(failed) })
    })
}

#[test]
fn a_connection_that_was_forgotten_costs_no_call() {
    let base = Base::new();
    let server = Url::parse(&superuser()).expect("a URL");
    let server = format!("{}:{}", server.host_str().expect("a host"), server.port().unwrap_or(5432));
    let between = Between::of(server);
    let central = through(&base, between.address).expect("reachable");
    central.open_all().expect("reachable");
    between.forgotten.fetch_add(1, Relaxed);
    // Long enough for a connection to count as quiet in a test.
    std::thread::sleep(Duration::from_millis(500));
    for _ in 0..4 {
        let asked = Instant::now();
        ask(&central).expect("answered over another connection");
        assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    }
}
