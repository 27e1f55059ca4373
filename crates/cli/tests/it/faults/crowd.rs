//! Ten thousand connections of somebody who never says who he is.

use std::{
    io,
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    house::{FAULTY, House, OTHER, Plan},
    neighbour::Neighbour,
    wire::{Ask, Conn},
};

/// More than there are places. The test's own process needs as many files again.
const CROWD: usize = 10_000;

#[test]
fn a_crowd_at_the_door_keeps_nobody_out() {
    let house =
        House::open(&Plan { server: "max_connections = 2000\nread_timeout = \"20s\"", ..Plan::default() });
    let neighbour = Neighbour::of(&house, false);
    let mut crowd: Vec<TcpStream> = Vec::with_capacity(CROWD);
    house.growth("10,000 connections that never authenticate", 256, || {
        neighbour.is_undisturbed_during(&house, |another_round| {
            let since = Instant::now();
            // A connection that finds the queue before the door full comes a second later: a busy machine takes its time.
            while crowd.len() < CROWD && since.elapsed() < Duration::from_secs(120) {
                match TcpStream::connect_timeout(&house.address(), Duration::from_secs(1)) {
                    Ok(stream) => {
                        // A third says nothing, a third half a head, a third a whole request without a token.
                        let words: &[u8] = match crowd.len() % 3 {
                            0 => b"",
                            1 => b"POST /mcp HTTP/1.1\r\nHost: ",
                            _ => b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
                        };
                        let _closed = io::Write::write_all(&mut (&stream), words);
                        crowd.push(stream);
                    }
                    Err(error) => assert!(
                        matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::ConnectionReset),
                        "{error} after {} connections; the test needs {CROWD} open files (ulimit -n)",
                        crowd.len()
                    ),
                }
            }
            assert_eq!(crowd.len(), CROWD, "all of them came");
            // Who comes now, and everybody who came before, is served.
            another_round();
            for tenant in [FAULTY, OTHER] {
                assert!(house.call(tenant, "whoami", &json!({})).is_ok());
            }
        });
    });
    drop(crowd);
    neighbour.is_undisturbed(&house);
}

/// As many as are allowed are held, of those who are known and of strangers, and everybody is served.
#[test]
fn ten_thousand_connections_are_held() {
    let server = "max_connections = 11000\nread_timeout = \"60s\"";
    let house = House::open(&Plan { server, ..Plan::default() });
    let neighbour = Neighbour::of(&house, false);
    let mut known = Vec::new();
    let mut strangers = Vec::new();
    house.growth("10,000 connections, a quarter of them of one tenant", 512, || {
        neighbour.is_undisturbed_during(&house, |another_round| {
            for n in 0..CROWD {
                let opened = if n % 4 == 0 {
                    Conn::open(house.address()).map(|mut conn| {
                        let answer = conn.ask(&Ask::call(house.token(FAULTY), "whoami", &json!({}))).unwrap();
                        assert!(answer.is_ok(), "{n}: {answer:?}");
                        known.push(conn);
                    })
                } else {
                    TcpStream::connect(house.address()).map(|stream| strangers.push(stream))
                };
                opened.unwrap_or_else(|error| {
                    panic!("{error} after {n} connections; the test needs 10,500 open files (ulimit -n)")
                });
            }
            assert!(house.sockets() >= CROWD, "{} are held", house.sockets());
            another_round();
            for conn in known.iter_mut().step_by(100) {
                let answer = conn.ask(&Ask::call(house.token(FAULTY), "whoami", &json!({}))).unwrap();
                assert!(answer.is_ok(), "{answer:?}");
            }
        });
    });
}
