//! Connections: who has no token makes room for who has, and no tenant takes all of them.

use serde_json::json;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::Full;
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::support::{Ask, Conn, House, Plan, background, in_time};

/// One HTTP/2 connection, which does not mend itself.
struct Link {
    house: std::net::SocketAddr,
    sender: http2::SendRequest<Full<Bytes>>,
}

impl Link {
    async fn open(house: &House) -> Self {
        let stream = tokio::net::TcpStream::connect(house.address).await.unwrap();
        let (sender, conn) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        background(async move {
            let _ended = conn.await;
        });
        Self { house: house.address, sender }
    }

    /// The status of one call; `None` when the connection takes none any more.
    fn whoami(&self, token: &str) -> impl Future<Output = Option<u16>> + use<> {
        let request = Request::post(format!("http://{}/mcp", self.house))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Full::from(Ask::call("whoami", &json!({})).text()))
            .unwrap();
        let mut sender = self.sender.clone();
        async move {
            sender.ready().await.ok()?;
            let response = in_time("the answer", sender.send_request(request)).await.ok()?;
            Some(response.status().as_u16())
        }
    }
}

/// What one tenant does, or somebody unknown, ends no connection that others use too: a proxy's (QU-01).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qu_01_a_connection_of_several_is_not_ended_for_what_one_does() {
    let small = "requests_per_second = 1\nburst = 5\n\
        [capacity.tenant.globex]\nrequests_per_second = 100000\nburst = 100000\n";
    let plan = Plan { server: "refusal_delay = \"300ms\"", capacity: Some(small), ..Plan::default() };
    let house = House::with(plan).await;
    let (acme, globex) = (house.caller("acme").token, house.caller("globex").token);
    let flood = async |link: &Link, token: &str| {
        let answers = join_all((0..120).map(|_| link.whoami(token))).await;
        answers.into_iter().flatten().filter(|status| [401, 429].contains(status)).count()
    };
    let proxy = Link::open(&house).await;
    for _ in 0..2 {
        assert_eq!(proxy.whoami(&globex).await, Some(200));
        assert!(flood(&proxy, &acme).await > 100, "all of it is answered");
        assert_eq!(proxy.whoami(&globex).await, Some(200), "over the limit of one");
        assert!(flood(&proxy, "a.b.c").await > 100, "all of it is answered");
        assert_eq!(proxy.whoami(&globex).await, Some(200), "bad tokens");
    }
    // Whoever has a connection to itself has it ended.
    for (first, flooding) in [(&*acme, &*acme), ("a.b.c", "a.b.c")] {
        let own = Link::open(&house).await;
        own.whoami(first).await.unwrap();
        flood(&own, flooding).await;
        in_time("the connection ends", async {
            while own.whoami(flooding).await.is_some() {
                flood(&own, flooding).await;
            }
        })
        .await;
    }
    assert_eq!(proxy.whoami(&globex).await, Some(200), "and the others go on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qu_04_connections_without_a_token_make_room() {
    let house = House::with(Plan { server: "max_connections = 8", ..Plan::default() }).await;
    let mut acme = house.caller("acme");
    assert!(acme.call("whoami", json!({})).await.is_ok());
    // Far more than there is room for, some silent and some with garbage.
    let garbage = Ask::call("whoami", &json!({})).bearer("a.b.c");
    let mut strangers = Vec::new();
    for n in 0..40 {
        let mut conn = Conn::open(house.address).await;
        if n % 2 == 0 {
            conn.send(&garbage.bytes()).await;
        }
        strangers.push(conn);
    }
    let mut globex = house.caller("globex");
    assert!(globex.call("whoami", json!({})).await.is_ok(), "a newcomer with a token is let in");
    let first = in_time("the first stranger is put out", strangers[1].rest()).await;
    assert!(first.is_empty());
    // Both are still on their first connection.
    acme.connect().await;
    let ask = Ask::call("whoami", &json!({})).bearer(&acme.token);
    assert!(acme.connect().await.ask(&ask).await.is_ok());
    assert!(house.metric("partywall_connections").await <= 8 + 1);
    assert!(house.metric("partywall_connections_closed_total").await >= 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_with_many_connections_loses_an_idle_one_to_a_newcomer() {
    let capacity = "requests_per_second = 100000\nburst = 100000\nconnections = 4\n";
    let plan = Plan { server: "max_connections = 4", capacity: Some(capacity), ..Plan::default() };
    let house = House::with(plan).await;
    let token = house.caller("acme").token;
    let ask = Ask::call("whoami", &json!({})).bearer(&token);
    let mut conns = Vec::new();
    for _ in 0..4 {
        let mut conn = Conn::open(house.address).await;
        assert!(conn.ask(&ask).await.is_ok());
        conns.push(conn);
    }
    // The first is in the middle of a call, so it stays, though it was not used for longest.
    conns[0].send(&Ask::call("slow", &json!({ "tag": "x" })).bearer(&token).bytes()).await;
    house.gates.of("acme").came(1).await;
    assert!(house.caller("globex").call("whoami", json!({})).await.is_ok());
    assert!(in_time("the longest idle one ends", conns[1].rest()).await.is_empty());
    house.gates.of("acme").open(1);
    assert!(conns[0].answer().await.unwrap().is_ok());
    assert!(conns[3].ask(&ask).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_has_a_share_of_the_connections() {
    let capacity = "requests_per_second = 100000\nburst = 100000\nconnections = 2\n\
        [capacity.tenant.globex]\nconnections = 3\n";
    let house = House::with(Plan { capacity: Some(capacity), ..Plan::default() }).await;
    for (tenant, share) in [("acme", 2), ("globex", 3)] {
        let ask = Ask::call("whoami", &json!({})).bearer(&house.caller(tenant).token);
        let mut conns = Vec::new();
        for _ in 0..share {
            let mut conn = Conn::open(house.address).await;
            assert!(conn.ask(&ask).await.is_ok());
            conns.push(conn);
        }
        let mut over = Conn::open(house.address).await;
        let answer = over.ask(&ask).await;
        super::assert_told_to_wait(&answer);
        assert_eq!(answer.json()["error"]["data"]["limit"], "connections");
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(in_time("it is closed", over.rest()).await.is_empty());
        for conn in &mut conns {
            assert!(conn.ask(&ask).await.is_ok(), "the others go on");
        }
        // Whoever leaves makes room.
        drop(conns.pop());
        in_time("room", async { while Conn::open(house.address).await.ask(&ask).await.status != 200 {} })
            .await;
    }
}

/// Bad tokens do not keep a connection open, however many of them come.
#[tokio::test]
async fn a_connection_without_a_good_token_ends() {
    let house = House::with(Plan { server: "read_timeout = \"200ms\"", ..Plan::default() }).await;
    let garbage = Ask::call("whoami", &json!({})).bearer("a.b.c");
    let mut known = Conn::open(house.address).await;
    let ask = Ask::call("whoami", &json!({})).bearer(&house.caller("acme").token);
    assert!(known.ask(&ask).await.is_ok());
    let mut stranger = Conn::open(house.address).await;
    let mut asked = 0;
    in_time("its time ends", async {
        loop {
            stranger.send(&garbage.bytes()).await;
            if stranger.answer().await.is_none() {
                break;
            }
            asked += 1;
        }
    })
    .await;
    assert!(asked > 0);
}
