//! Both tenants on one connection, as behind a proxy that keeps few of them; and requests that two readers may cut apart
//! at different places.

use futures_util::future::join_all;
use partywall_model::{Layer, Severity};
use tokio::time::Instant;

use crate::{
    oracle::{Judged, judge, reading::failed},
    probes::{Probe, Technique, attempt},
    site::{Party, Reading, Site},
    tally::Tally,
    target::{Caller, Exchange, Failure, Gate, Raw, Request, pause, whole, written},
};

pub(super) static PROBE: Probe = Probe::new(
    "one-connection",
    Layer::Routing,
    Severity::High,
    "Sends requests of both tenants on one connection, at once, and framed wrongly.",
    include_str!("one_connection.md"),
    &[
        Technique::new("RT-15", "both tenants on one connection", Severity::High, |site| {
            Box::pin(shared(site))
        }),
        Technique::new("RT-17", "requests that end at the same moment", Severity::High, |site| {
            Box::pin(held_back(site))
        }),
        Technique::new("XP-05", "requests with two lengths", Severity::Medium, |site| Box::pin(framed(site))),
    ],
);

/// The most rounds on one connection, and of requests that end at once.
const ROUNDS: usize = 60;
/// How often a request is sent to a target that says that there were too many.
const TRIES: usize = 4;
/// How many requests end at the same moment.
const WIDTH: usize = 6;

/// Callers of both tenants whose answers come back on the connection, in the newest generation that both speak.
fn callers(site: &Site) -> Result<[(&Party, &Caller); 2], Box<Tally>> {
    let [one, other] = &site.parties;
    if one.caller.streams() || other.caller.streams() {
        return Err(Box::new(Tally::not_run(
            "in HTTP+SSE answers do not come back on the request's connection",
        )));
    }
    Ok([(one, &one.caller), (other, &other.caller)])
}

/// The same, where they can be written by hand.
fn writers(site: &Site) -> Result<[(&Party, &Caller); 2], Box<Tally>> {
    let callers = callers(site)?;
    unwritable(site).map_or(Ok(callers), |why| Err(Box::new(Tally::not_run(why))))
}

/// Why requests to the target are not written byte by byte.
pub(super) fn unwritable(site: &Site) -> Option<&'static str> {
    if site.target.url.scheme() != "http" {
        return Some("only plain HTTP is written byte by byte, and the target speaks TLS");
    }
    site.target.second().then_some("only HTTP/1.1 is written byte by byte, and the target speaks HTTP/2")
}

fn exchange(caller: &Caller, request: Request, outcome: Result<crate::target::Reply, Failure>) -> Exchange {
    Exchange { who: caller.name.clone(), request, outcome, took: std::time::Duration::ZERO }
}

/// The control: a request that was written by hand is served as one that a library writes.
async fn alone(tally: &mut Tally, site: &Site, party: &Party, caller: &Caller, reading: &Reading) -> bool {
    let request = reading.what.request(caller);
    let outcome = sent(site, &whole(&site.target, &request)).await;
    let exchange = exchange(caller, request, outcome);
    let own = matches!(judge(site, &party.tenant, reading, &exchange), Judged::Own);
    tally.control(own, &format!("a request that is written by hand is not served: {}", failed(&exchange)));
    own
}

/// Sends one request. A limit is waited for, as everywhere: it says nothing of what was sent.
async fn sent(site: &Site, bytes: &[u8]) -> Result<crate::target::Reply, Failure> {
    let mut tries = 1;
    loop {
        let mut raw = Raw::open(&site.target).await?;
        raw.write(bytes).await?;
        let reply = raw.answer().await?;
        match pause(&reply) {
            Some(time) if tries < TRIES && !site.target.late() => tokio::time::sleep(time).await,
            _ => return Ok(reply),
        }
        tries += 1;
    }
}

async fn shared(site: &Site) -> Tally {
    let callers = match callers(site) {
        Ok(callers) => callers,
        Err(tally) => return *tally,
    };
    let readings = match attempt::telling(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    let [one, other] = callers;
    let by_hand = unwritable(site);
    for reading in readings.iter().take(if by_hand.is_none() { 3 } else { 0 }) {
        if !alone(&mut tally, site, one.0, one.1, reading).await {
            continue;
        }
        for order in [[one, other], [other, one], [one, other], [other, one]] {
            in_line(&mut tally, site, order, reading).await;
        }
    }
    if !tally.has_leaked() {
        multiplexed(&mut tally, site, callers, &readings).await;
    }
    // What was said of one half is no reason to leave out the other.
    if let Some(why) = by_hand {
        tally.absent(why);
        tally.note(format!("Requests in line were left out: {why}."));
    }
    tally
}

/// One request behind the other, before the first is answered: answers come in the same order.
async fn in_line(tally: &mut Tally, site: &Site, order: [(&Party, &Caller); 2], reading: &Reading) {
    let requests = order.map(|(_, caller)| reading.what.request(caller));
    let bytes: Vec<u8> = requests.iter().flat_map(|request| whole(&site.target, request)).collect();
    let Ok(mut raw) = Raw::open(&site.target).await else { return tally.doubt("no connection") };
    if let Err(why) = raw.write(&bytes).await {
        return tally.doubt(format!("the requests could not be written: {why}"));
    }
    for (place, ((party, caller), request)) in order.into_iter().zip(requests).enumerate() {
        let outcome = raw.answer().await;
        if place > 0 && matches!(outcome, Err(Failure::Broken(_))) {
            tally.note("The target answers one request and closes where two stand in line.");
            return;
        }
        let exchange = exchange(caller, request, outcome);
        attempt::weigh(tally, site, &party.tenant, reading, &exchange, attempt::Refusal::Fine);
    }
}

/// Requests of both at once on one connection of HTTP/2.
async fn multiplexed(
    tally: &mut Tally,
    site: &Site,
    [(one, own), (other, theirs)]: [(&Party, &Caller); 2],
    readings: &[&Reading],
) {
    let first = own.multiplexed();
    let Some(reading) = readings.first() else { return };
    if attempt::read(&first, &reading.what).await.success().is_none() {
        return tally.note("The target speaks no HTTP/2 here.");
    }
    tally.control(true, "");
    let second = first.disguised(theirs);
    second.set_session(theirs.session());
    let end = Instant::now() + site.plan.racing / 4;
    let begin = site.chance("RT-15").usize(0..readings.len());
    for round in 0..ROUNDS {
        let Some(reading) = readings.get((begin + round) % readings.len()) else { return };
        if Instant::now() > end || tally.has_leaked() || site.target.late() {
            return;
        }
        let calls = [(one, &first), (other, &second)]
            .repeat(3)
            .into_iter()
            .map(|(party, caller)| async move { (party, attempt::read(caller, &reading.what).await) });
        for (party, exchange) in join_all(calls).await {
            attempt::weigh(tally, site, &party.tenant, reading, &exchange, attempt::Refusal::Fine);
        }
    }
}

/// Each request but its last byte, then all last bytes: the handlers begin at the same moment. By hand where requests can be
/// written so; by HTTP/2 and under TLS a client holds its bodies back.
async fn held_back(site: &Site) -> Tally {
    let both = match callers(site) {
        Ok(callers) => callers,
        Err(tally) => return *tally,
    };
    let readings = match attempt::telling(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let by_hand = unwritable(site).is_none();
    let mut tally = Tally::default();
    let first = site.chance("RT-17").usize(0..readings.len());
    for (party, caller) in both {
        let Some(reading) = readings.first() else { break };
        if by_hand {
            alone(&mut tally, site, party, caller, reading).await;
        } else {
            attempt::control(&mut tally, site, party, reading).await;
        }
    }
    let end = Instant::now() + site.plan.racing / 4;
    let mut rounds = 0;
    while Instant::now() < end && rounds < ROUNDS && !tally.has_leaked() && !site.target.late() {
        let Some(reading) = readings.get((first + rounds) % readings.len()) else { break };
        rounds += 1;
        let answers = if by_hand {
            written_at_once(site, both, reading).await
        } else {
            sent_at_once(both, reading).await
        };
        for (party, exchange) in answers {
            if !matches!(exchange.status(), 429 | 503) {
                attempt::weigh(&mut tally, site, &party.tenant, reading, &exchange, attempt::Refusal::Wrong);
            }
        }
    }
    tally.note(format!("{rounds} rounds of {WIDTH} requests."));
    tally
}

/// One round of requests that are written by hand, each on a connection of its own.
async fn written_at_once<'a>(
    site: &Site,
    both: [(&'a Party, &Caller); 2],
    reading: &Reading,
) -> Vec<(&'a Party, Exchange)> {
    let mut waiting = Vec::new();
    for (party, caller) in both.into_iter().cycle().take(WIDTH) {
        let request = reading.what.request(caller);
        let bytes = whole(&site.target, &request);
        let Some((last, most)) = bytes.split_last() else { continue };
        let Ok(mut raw) = Raw::open(&site.target).await else { continue };
        if raw.write(most).await.is_ok() {
            waiting.push((party, caller, request, raw, *last));
        }
    }
    let mut begun = Vec::new();
    for (party, caller, request, mut raw, last) in waiting {
        if raw.write(&[last]).await.is_ok() {
            begun.push((party, caller, request, raw));
        }
    }
    let answers = begun.into_iter().map(|(party, caller, request, mut raw)| async move {
        (party, exchange(caller, request, raw.answer().await))
    });
    join_all(answers).await
}

/// One round of requests whose bodies are held back, on their tenants' connections.
async fn sent_at_once<'a>(both: [(&'a Party, &Caller); 2], reading: &Reading) -> Vec<(&'a Party, Exchange)> {
    let gate = Gate::new(WIDTH);
    let sent = both.into_iter().cycle().take(WIDTH).map(|(party, caller)| {
        let request = reading.what.request(caller).once().held(&gate);
        async move { (party, caller.send(request).await) }
    });
    join_all(sent).await
}

/// Heads that RFC 9112 says a server must refuse, and what is wrong with each.
fn wrong(head: &str, body: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let length = body.len();
    let chunk = |coding: &str| {
        let mut bytes = format!("{head}transfer-encoding: {coding}\r\n\r\n{length:x}\r\n").into_bytes();
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(b"\r\n0\r\n\r\n");
        bytes
    };
    let plain = |lengths: &str| {
        let mut bytes = format!("{head}{lengths}\r\n\r\n").into_bytes();
        bytes.extend_from_slice(body);
        bytes
    };
    vec![
        (
            "two lengths, the shorter one first",
            plain(&format!("content-length: 1\r\ncontent-length: {length}")),
        ),
        (
            "two lengths, the shorter one last",
            plain(&format!("content-length: {length}\r\ncontent-length: 1")),
        ),
        ("two lengths in one header", plain(&format!("content-length: {length}, 1"))),
        ("a length with a sign", plain(&format!("content-length: +{length}"))),
        ("a space before the colon of its length", plain(&format!("content-length : {length}"))),
        ("a coding that does not end in chunked", chunk("chunked, identity")),
        ("a coding that is only like chunked", chunk("xchunked")),
    ]
}

async fn framed(site: &Site) -> Tally {
    let writers = match writers(site) {
        Ok(writers) => writers,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    for (party, caller) in writers {
        let Some((reading, _)) = site.readings_of(&party.tenant).next() else {
            tally.absent("nothing can be read");
            continue;
        };
        if !alone(&mut tally, site, party, caller, reading).await {
            continue;
        }
        let request = reading.what.request(caller);
        let (head, body) = written(&site.target, &request);
        for (how, bytes) in wrong(&head, &body) {
            let outcome = sent(site, &bytes).await;
            let refused = matches!(outcome, Err(Failure::Broken(_) | Failure::Timeout));
            let exchange = exchange(caller, request.clone(), outcome);
            if let Some(evidence) = site.foreign(&party.tenant, &exchange) {
                tally.leak(vec![evidence]);
            } else if exchange.success().is_some() {
                let why = format!(
                    "a request with {how} was served: two servers in a row may see two different requests"
                );
                tally.leak(vec![attempt::shown(site, &exchange, why)]);
            } else if matches!(exchange.status(), 429 | 503) {
                // What is over a limit was not looked at.
                tally.doubt(failed(&exchange));
            } else if exchange.replied() || refused {
                // To close the connection without a word is a refusal too.
                tally.held();
            } else {
                tally.doubt(failed(&exchange));
            }
        }
        alone(&mut tally, site, party, caller, reading).await;
    }
    tally.note("A request with a length and chunks may be served by its chunks; it was left out.");
    tally
}
