//! Clients that send wrongly, too much, too slowly, or never read what they are sent.

use std::{io::Write, thread, time::Duration};

use serde_json::json;

use super::{
    house::{FAULTY, House, Plan, wait_until},
    neighbour::Neighbour,
    wire::{Ask, Conn},
};

/// The server gives a client so long to send a head, a body, or to take what it asked for.
const SHORT: &str = "read_timeout = \"2s\"";

fn house() -> (House, Neighbour) {
    let house = House::open(&Plan { server: SHORT, ..Plan::default() });
    let neighbour = Neighbour::of(&house, false);
    (house, neighbour)
}

/// A gigabyte is refused at its announcement, or after the first mebibyte of it.
#[test]
fn a_gigabyte_is_refused_early() {
    const GIB: u64 = 1 << 30;
    let (house, neighbour) = house();
    let ask = Ask::call(house.token(FAULTY), "whoami", &json!({}));
    let announced = || {
        let mut conn = house.connect();
        conn.send(ask.head(GIB).as_bytes()).unwrap();
        let answer = conn.answer().unwrap();
        assert_eq!(answer.status, 413, "{answer:?}");
        assert_eq!(answer.json()["error"]["message"], "The request is too large.");
        pour(&mut conn, &[b'x'; 64 * 1024], GIB)
    };
    let chunked = || {
        let mut conn = house.connect();
        let head = ask.clone().header("Transfer-Encoding", "chunked").headers;
        conn.send(format!("POST /mcp HTTP/1.1\r\n{head}\r\n").as_bytes()).unwrap();
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        let sent = pour(&mut conn, chunk.as_bytes(), GIB);
        // The answer is there even if the rest was not taken.
        let answer = conn.answer();
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 413));
        sent
    };
    house.growth("a body of 1 GiB, announced and chunked, × 16", 64, || {
        neighbour.is_undisturbed_during(&house, |another_round| {
            thread::scope(|scope| {
                for _ in 0..8 {
                    // What the sockets hold on both sides is not read by anybody.
                    scope.spawn(|| assert!(announced() < 32 << 20));
                    scope.spawn(|| assert!(chunked() < 32 << 20));
                }
            });
            another_round();
        });
    });
}

/// Sends pieces until the other side takes no more; how many bytes it took.
fn pour(conn: &mut Conn, piece: &[u8], most: u64) -> u64 {
    let mut sent = 0;
    conn.stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    while sent < most && conn.stream.write_all(piece).is_ok() {
        sent += piece.len() as u64;
    }
    sent
}

#[test]
fn a_hundred_thousand_headers_are_refused() {
    let (house, neighbour) = house();
    let token = house.token(FAULTY).to_owned();
    let (many, long) = ((0..100_000).map(|n| format!("X-{n}: 1\r\n")).collect(), "x".repeat(1 << 20));
    let heads: [String; 2] = [many, format!("X-Long: {long}\r\n")];
    house.growth("100,000 headers and one of 1 MiB, × 16", 32, || {
        neighbour.is_undisturbed_during(&house, |another_round| {
            for _ in 0..16 {
                for head in &heads {
                    let mut conn = house.connect();
                    let ask = Ask::call(&token, "whoami", &json!({}));
                    // The server may have hung up before all of it was sent.
                    let _closed =
                        conn.send(format!("POST /mcp HTTP/1.1\r\n{}{head}", ask.headers).as_bytes());
                    let answer = conn.answer();
                    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 431));
                }
            }
            // So few that the server takes all of them before it answers, so the answer arrives.
            let few: String = (0..100).map(|n| format!("X-{n}: 1\r\n")).collect();
            let mut conn = house.connect();
            let head = Ask::call(&token, "whoami", &json!({})).headers;
            conn.send(format!("POST /mcp HTTP/1.1\r\n{head}{few}\r\n").as_bytes()).unwrap();
            assert_eq!(conn.answer().unwrap().status, 431);
            another_round();
        });
    });
}

#[test]
fn json_that_is_ten_thousand_deep_is_refused() {
    let (house, neighbour) = house();
    let token = house.token(FAULTY);
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
    let call = |rest: &str| {
        let start = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","#;
        Ask::post(token, format!("{start}{rest}}}}}"))
    };
    house.growth("JSON 10,000 deep", 32, || {
        neighbour.is_undisturbed_during(&house, |another_round| {
            for value in [deep("[", "]"), deep("{\"a\":", "}"), deep("[{\"a\":", "}]")] {
                let answer = house.connect().ask(&call(&format!("\"arguments\":{{\"x\":{value}}}"))).unwrap();
                assert_eq!(answer.json()["error"]["code"], -32602, "{answer:?}");
                let answer = house.connect().ask(&call(&format!("\"arguments\":{value}"))).unwrap();
                assert_eq!(answer.json()["error"]["code"], -32602, "{answer:?}");
                // As the whole body, and with no end.
                for body in [value.clone(), value[..10_000].to_owned()] {
                    let answer = house.connect().ask(&Ask::post(token, body)).unwrap();
                    assert!(answer.body.contains("\"error\":"), "{answer:?}");
                }
            }
            another_round();
        });
    });
}

/// Heads and bodies that come a byte at a time are broken off, and each costs little while it lasts.
#[test]
fn slow_heads_and_bodies_are_broken_off() {
    let (mut house, neighbour) = house();
    let token = house.token(FAULTY).to_owned();
    house.growth("slow heads and bodies, × 200", 48, || {
        neighbour.is_undisturbed_during(&house, |another_round| {
            let ask = Ask::call(&token, "whoami", &json!({}));
            let mut slow: Vec<Conn> = Vec::new();
            for n in 0..200 {
                let mut conn = house.connect();
                let start = if n % 2 == 0 {
                    "POST /mcp HTTP/1.1\r\nX-Slow: ".to_owned()
                } else {
                    ask.head(100) + "{"
                };
                conn.send(start.as_bytes()).unwrap();
                slow.push(conn);
            }
            another_round();
            for conn in &mut slow {
                // A byte from time to time does not begin the time anew.
                let _closed = conn.send(b" ");
            }
            for mut conn in slow {
                assert!(conn.is_closed_in_the_end(), "a slow client has its time and no more");
            }
        });
    });
    assert!(house.is_alive());
}

/// A half that is closed is a client that has gone: what it asked is answered at once or not at all, and its call ends.
#[test]
fn who_closes_his_half_after_asking_has_hung_up() {
    let (house, neighbour) = house();
    house.growth("clients that close their half, × 200", 32, || {
        neighbour.is_undisturbed_during(&house, |another_round| {
            for n in 0..200 {
                let tool = if n % 2 == 0 { "whoami" } else { "page" };
                let mut conn = house.connect();
                conn.send(&Ask::call(house.token(FAULTY), tool, &json!({})).bytes()).unwrap();
                conn.half_close();
                assert!(conn.answer().map_or(true, |answer| answer.is_ok()));
                assert!(conn.is_closed_in_the_end());
                // Half a request gets no tool to run.
                let mut conn = house.connect();
                let half = Ask::call(house.token(FAULTY), "add_comment", &json!({})).head(50) + "{";
                conn.send(half.as_bytes()).unwrap();
                conn.half_close();
                assert!(conn.answer().map_or(true, |answer| !answer.is_ok()));
                assert!(conn.is_closed_in_the_end());
            }
            another_round();
        });
    });
    wait_until("their connections are gone", || house.sockets() < 16);
}

/// Replies that nobody reads: they are as many as the tenant's calls in flight and no more, they go when the time is
/// up, and the tenant's places come back.
#[test]
fn who_never_reads_holds_his_own_places_and_not_for_ever() {
    let capacity = "requests_per_second = 1000000\nburst = 1000000\nconcurrent_requests = 16\n\
        [capacity.tenant.globex]\nconcurrent_requests = 1000\n";
    let house = House::open(&Plan { server: SHORT, capacity: Some(capacity), ..Plan::default() });
    let neighbour = Neighbour::of(&house, false);
    let page = Ask::call(house.token(FAULTY), "page", &json!({}));
    let events = Ask::legacy(
        house.token(FAULTY),
        "tools/call",
        &json!({ "name": "page", "arguments": {}, "_meta": { "progressToken": 1 } }),
    );
    let mut idle: Vec<Conn> = Vec::new();
    // A page is 800 KB on the wire; the system takes some of them from the server, and not forty.
    house.growth("replies of 0.8 MB that nobody reads, × 300", 64, || {
        neighbour.is_undisturbed_during(&house, |another_round| {
            for n in 0..300 {
                let mut conn = Conn::narrow(house.address());
                conn.send(&if n % 2 == 0 { &page } else { &events }.bytes().repeat(40)).unwrap();
                // The answer has begun, or it is a refusal, before the next one comes.
                let mut first = [0; 1];
                let begun = loop {
                    match conn.stream.peek(&mut first) {
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                        done => break done.unwrap(),
                    }
                };
                assert_eq!(begun, 1);
                idle.push(conn);
            }
            another_round();
        });
    });
    // Nobody reads, and yet the server closes them.
    wait_until("connections that nobody reads are closed", || house.sockets() < 16);
    assert!(house.call(FAULTY, "page", &json!({})).is_ok(), "the places have come back");
    neighbour.is_undisturbed(&house);
    drop(idle);
}
