//! Shared replies on real servers: what a neighbour, a damaged value or an outage does to them.

use std::path::Path;

use partywall_model::TenantId;

use super::*;
use crate::{
    admit::Incarnation,
    guards::{
        capacity::shared::tests::{look, prefix, server::Server, test_cluster, test_server},
        credentials::MasterKey,
    },
};

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const TENANT_BYTES: u64 = 1 << 20;

/// One process: with a connection of its own, and keys that all with this master key have.
fn process(master: &MasterKey, url: &str, prefix: &str, lines: &str, clock: &Clock) -> Arc<SharedReplies> {
    let text = format!(
        "[shared]\nredis = \"env:URL\"\nprefix = \"{prefix}\"\nreplicas = 2\n{lines}\n\
         [[tool]]\nname = \"t\"\nhttp = {{ url = \"https://crm.example.com/\" }}\n\
         cache = {{ ttl = \"60s\", shared = true }}\n"
    );
    let config = Config::parse(&text, "test", Path::new("/")).unwrap();
    let url = url.to_owned();
    let environment = Environment::from_fn(move |name| (name == "URL").then(|| url.clone()));
    let keys = Arc::new(ReplyKeys::new(master).unwrap());
    SharedReplies::open(&config, &environment, &keys, clock, None).unwrap().unwrap()
}

/// It waits long for answers: the machine may be busy.
const PATIENT: &str = "timeout = \"1s\"";

/// Processes that share, on a server that other tests use too.
struct Lab {
    master: MasterKey,
    url: String,
    prefix: String,
    lines: &'static str,
}

impl Lab {
    fn new() -> Self {
        Self { master: MasterKey::generate().unwrap(), url: test_server(), prefix: prefix(), lines: PATIENT }
    }

    fn process(&self) -> Arc<SharedReplies> {
        process(&self.master, &self.url, &self.prefix, self.lines, &Clock::system())
    }

    /// Everything that stands in the server for these processes.
    async fn keys(&self) -> Vec<String> {
        let mut server = look(&self.url).await;
        let pattern = format!("{}:*", self.prefix);
        redis::cmd("KEYS").arg(pattern).query_async(&mut server).await.unwrap()
    }

    async fn reply_key(&self) -> String {
        let keys = self.keys().await;
        let mut replies = keys.into_iter().filter(|key| key.contains(":reply:"));
        let (first, none) = (replies.next(), replies.next());
        assert_eq!(none, None, "one reply");
        first.unwrap()
    }

    async fn get(&self, key: &str) -> Vec<u8> {
        redis::cmd("GET").arg(key).query_async(&mut look(&self.url).await).await.unwrap()
    }

    async fn set(&self, key: &str, value: &[u8]) {
        let mut server = look(&self.url).await;
        let _: () = redis::cmd("SET").arg(key).arg(value).query_async(&mut server).await.unwrap();
    }
}

/// A tenant in one of its lives, in one process.
struct Tenant {
    id: TenantId,
    life: u64,
    asking: Asking,
}

impl Tenant {
    fn new(id: &str, life: u64) -> Self {
        Self { id: TenantId::parse(id).unwrap(), life, asking: Asking::default() }
    }

    fn wants<'t>(&'t self, tool: &'t str, caller: &'t str, arguments: &'t str) -> Wanted<'t> {
        let name = ReplyName {
            tenant: &self.id,
            life: Incarnation(self.life),
            tool,
            declaration: b"d",
            caller,
            arguments,
        };
        Wanted { name, asking: &self.asking, ttl: MINUTE, most: usize::MAX, tenant_bytes: TENANT_BYTES }
    }

    fn profile(&self) -> Wanted<'_> {
        self.wants("profile", "", r#"{"customer":"cus_1"}"#)
    }
}

async fn text(process: &SharedReplies, wanted: &Wanted<'_>) -> Option<String> {
    process.find(wanted).await.map(|(text, _left)| text)
}

fn count(process: &SharedReplies, name: &str) -> u64 {
    let text = process.render();
    let value = text.lines().find_map(|line| line.strip_prefix(&format!("partywall_shared_cache_{name} ")));
    value.unwrap_or_else(|| panic!("{name} is missing in {text}")).parse().unwrap()
}

async fn two_processes_share(lab: Lab) {
    let (one, two) = (lab.process(), lab.process());
    let (acme, globex) = (Tenant::new("acme", 1), Tenant::new("globex", 1));
    assert_eq!(text(&one, &acme.profile()).await, None);
    one.keep(&acme.profile(), r#"{"note":"of acme"}"#).await;
    globex_and_others_find_nothing(&two, &acme, &globex).await;
    let (found, left) = two.find(&acme.profile()).await.unwrap();
    assert_eq!(found, r#"{"note":"of acme"}"#);
    assert!(left <= MINUTE && left > MINUTE / 2, "{left:?}");
    assert_eq!(
        (count(&one, "writes_total{result=\"stored\"}"), count(&two, "reads_total{result=\"hit\"}")),
        (1, 1)
    );
    assert_eq!(count(&two, "reads_total{result=\"unreadable\"}"), 0);
    assert_eq!(count(&two, "reachable"), 1);
}

async fn globex_and_others_find_nothing(process: &SharedReplies, acme: &Tenant, globex: &Tenant) {
    let arguments = r#"{"customer":"cus_1"}"#;
    for wanted in [
        globex.profile(),
        Tenant::new("acme", 3).profile(),
        acme.wants("profiles", "", arguments),
        acme.wants("profile", r#"["issuer","subject"]"#, arguments),
        acme.wants("profile", "", r#"{"customer":"cus_2"}"#),
        Wanted { name: ReplyName { declaration: b"e", ..acme.profile().name }, ..acme.profile() },
    ] {
        assert_eq!(text(process, &wanted).await, None);
    }
}

#[tokio::test]
async fn processes_find_each_others_replies_and_nobody_elses() {
    two_processes_share(Lab::new()).await;
}

#[tokio::test]
async fn the_same_holds_on_a_cluster() {
    let lines = "timeout = \"1s\"\ncluster = true";
    two_processes_share(Lab { url: test_cluster(), lines, ..Lab::new() }).await;
}

#[tokio::test]
async fn what_stands_in_redis_tells_nothing_and_goes_by_itself() {
    let (lab, acme) = (Lab::new(), Tenant::new("acme", 1));
    let process = lab.process();
    process.keep(&acme.profile(), r#"{"note":"of acme, and secret"}"#).await;
    let mut server = look(&lab.url).await;
    let keys = lab.keys().await;
    assert_eq!(keys.len(), 2, "the reply and what counts its bytes: {keys:?}");
    for key in &keys {
        let ttl: i64 = redis::cmd("PTTL").arg(key).query_async(&mut server).await.unwrap();
        assert!((1..=60_000).contains(&ttl), "{key} goes by itself: {ttl}");
        let mut all = lab.get(key).await;
        all.extend_from_slice(key.as_bytes());
        for word in ["acme", "profile", "cus_1", "customer", "note", "secret"] {
            let found = all.windows(word.len()).any(|part| part == word.as_bytes());
            assert!(!found, "{word} in {key}");
        }
    }
}

/// Whoever can write to Redis can put any value anywhere; it opens where it was sealed for and nowhere else.
#[tokio::test]
async fn values_that_were_moved_do_not_open() {
    let lab = Lab::new();
    let process = lab.process();
    let acme = Tenant::new("acme", 1);
    process.keep(&acme.profile(), r#"{"note":"of acme"}"#).await;
    let own = lab.get(&lab.reply_key().await).await;
    let (globex, again) = (Tenant::new("globex", 1), Tenant::new("acme", 3));
    let arguments = r#"{"customer":"cus_1"}"#;
    let others = [
        globex.profile(),
        again.profile(),
        acme.wants("profiles", "", arguments),
        acme.wants("profile", r#"["issuer","subject"]"#, arguments),
        acme.wants("profile", "", r#"{"customer":"cus_2"}"#),
    ];
    for (n, other) in others.iter().enumerate() {
        lab.set(&process.key(&other.name), &own).await;
        assert_eq!(text(&process, other).await, None, "{n}");
        assert_eq!(count(&process, "reads_total{result=\"unreadable\"}"), n as u64 + 1);
        // The honest twin: the owner's own reply takes its place and is found.
        process.keep(other, "{}").await;
        assert_eq!(text(&process, other).await.as_deref(), Some("{}"), "{n}");
    }
    // Another master key opens nothing, at the very same place.
    let stranger = Lab { master: MasterKey::generate().unwrap(), ..Lab::new() }.process();
    lab.set(&stranger.key(&acme.profile().name), &own).await;
    assert_eq!(text(&stranger, &acme.profile()).await, None);
}

#[tokio::test]
async fn what_is_damaged_cut_off_or_made_up_is_a_miss() {
    let lab = Lab::new();
    let (process, acme) = (lab.process(), Tenant::new("acme", 1));
    let wanted = acme.profile();
    process.keep(&wanted, r#"{"note":"of acme"}"#).await;
    let key = lab.reply_key().await;
    let own = lab.get(&key).await;
    let mut damaged: Vec<Vec<u8>> = (0..own.len()).map(|at| own[..at].to_vec()).collect();
    damaged.extend((0..own.len()).step_by(7).map(|at| {
        let mut other = own.clone();
        other[at] ^= 1;
        other
    }));
    damaged.extend([b"{\"note\":\"made up\"}".to_vec(), [own.as_slice(), b"x"].concat()]);
    damaged.push(vec![b'x'; 4 * TENANT_BYTES as usize]);
    for value in damaged {
        lab.set(&key, &value).await;
        assert_eq!(text(&process, &wanted).await, None, "{} bytes", value.len());
    }
    lab.set(&key, &own).await;
    assert!(text(&process, &wanted).await.is_some(), "the honest twin");
    // Something else than a text: an error of the server's, which is a miss too, and a call that is not held up.
    let mut server = look(&lab.url).await;
    let _: () = redis::cmd("DEL").arg(&key).query_async(&mut server).await.unwrap();
    let _: () = redis::cmd("RPUSH").arg(&key).arg("x").query_async(&mut server).await.unwrap();
    assert_eq!(text(&process, &wanted).await, None);
    assert_eq!(count(&process, "questions_total{result=\"failed\"}"), 1);
}

#[tokio::test]
async fn a_tenant_that_was_removed_and_added_again_meets_nothing() {
    let lab = Lab::new();
    let (one, two) = (lab.process(), lab.process());
    let (first, second) = (Tenant::new("acme", 1), Tenant::new("acme", 2));
    one.keep(&first.profile(), r#"{"note":"of the first"}"#).await;
    for process in [&one, &two] {
        assert_eq!(text(process, &second.profile()).await, None);
    }
    two.keep(&second.profile(), r#"{"note":"of the second"}"#).await;
    assert_eq!(text(&one, &second.profile()).await.as_deref(), Some(r#"{"note":"of the second"}"#));
}

/// A value that is put back after its time, or whose time cannot be right, is not used: the time is sealed with it.
#[tokio::test]
async fn an_old_reply_that_is_put_back_is_not_used() {
    let lab = Lab::new();
    let at = Arc::new(AtomicU64::new(2_000_000_000));
    let told = Arc::clone(&at);
    let clock = Clock::from_fn(move || std::time::UNIX_EPOCH + Duration::from_secs(told.load(Relaxed)));
    let process = process(&lab.master, &lab.url, &lab.prefix, PATIENT, &clock);
    let acme = Tenant::new("acme", 1);
    process.keep(&acme.profile(), "{}").await;
    let key = lab.reply_key().await;
    let own = lab.get(&key).await;
    lab.set(&key, &own).await;
    for (seconds, left) in
        [(0, Some(60)), (59, Some(1)), (60, None), (3600, None), (-4, Some(60)), (-6, None)]
    {
        at.store(2_000_000_000_u64.wrapping_add_signed(seconds), Relaxed);
        let found = process.find(&acme.profile()).await.map(|(_text, left)| left);
        assert_eq!(found, left.map(Duration::from_secs), "{seconds} s later");
    }
}

#[tokio::test]
async fn a_tenant_has_a_bounded_part_of_redis_and_its_neighbour_has_its_own() {
    let lab = Lab::new();
    let (process, acme, globex) = (lab.process(), Tenant::new("acme", 1), Tenant::new("globex", 1));
    let large = "x".repeat(TENANT_BYTES as usize / 8);
    for n in 0..12 {
        let arguments = format!("{{\"n\":{n}}}");
        process.keep(&acme.wants("profile", "", &arguments), &large).await;
    }
    let stored = count(&process, "writes_total{result=\"stored\"}");
    assert!((2..=4).contains(&stored), "half of its bytes in one stretch of time: {stored}");
    assert_eq!(count(&process, "writes_total{result=\"full\"}"), 12 - stored);
    process.keep(&globex.profile(), &large).await;
    assert!(text(&process, &globex.profile()).await.is_some());
    // Larger than a quarter of its part, or than the tool wants to keep: not even sent.
    let too_large = "x".repeat(TENANT_BYTES as usize / 4 + 1);
    process.keep(&globex.wants("profile", "", "{}"), &too_large).await;
    process.keep(&Wanted { most: 1, ..globex.wants("profile", "", "{}") }, "{}").await;
    assert_eq!(text(&process, &globex.wants("profile", "", "{}")).await, None);
}

#[tokio::test]
async fn without_answers_calls_go_on_and_wait_once() {
    let mut server = Server::start(&[]);
    let master = MasterKey::generate().unwrap();
    let timeout = "timeout = \"200ms\"";
    let process = process(&master, &server.url(), "p", timeout, &Clock::system());
    let acme = Tenant::new("acme", 1);
    process.keep(&acme.profile(), "{}").await;
    assert!(text(&process, &acme.profile()).await.is_some());
    server.signal("-STOP");
    let start = Instant::now();
    assert_eq!(text(&process, &acme.profile()).await, None);
    assert!(start.elapsed() >= Duration::from_millis(190), "it waited: {:?}", start.elapsed());
    let start = Instant::now();
    for _ in 0..1000 {
        // Within the pause after the first, or after one more try.
        assert_eq!(text(&process, &acme.profile()).await, None);
        process.keep(&acme.profile(), "{}").await;
    }
    assert!(start.elapsed() < 2 * SECOND, "a thousand calls do not wait: {:?}", start.elapsed());
    assert!(count(&process, "not_asked_total{result=\"passed\"}") > 1990);
    assert_eq!((count(&process, "reachable"), count(&process, "outages_total")), (0, 1));
    server.signal("-CONT");
    comes_back(&process, &acme).await;
    server.kill();
    let start = Instant::now();
    for _ in 0..1000 {
        assert_eq!(text(&process, &acme.profile()).await, None);
    }
    assert!(start.elapsed() < 2 * SECOND, "{:?}", start.elapsed());
    server.again();
    process.connect();
    comes_back(&process, &acme).await;
}

async fn comes_back(process: &SharedReplies, tenant: &Tenant) {
    let since = Instant::now();
    while text(process, &tenant.profile()).await.is_none() {
        process.keep(&tenant.profile(), "{}").await;
        assert!(since.elapsed() < 30 * SECOND, "it is not used again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_tenant_asks_a_bounded_number_of_questions_at_once() {
    let (asking, now) = (Asking::default(), Instant::now());
    let turns: Vec<_> = (0..MOST_AT_ONCE).map(|_| asking.begin(now).unwrap()).collect();
    assert!(asking.begin(now).is_none());
    drop(turns);
    // Without an answer nobody asks for a while; then one tries it for all.
    asking.begin(now).unwrap().end(false);
    assert!(asking.begin(Instant::now()).is_none());
    let later = Instant::now() + FIRST_PAUSE;
    let one = asking.begin(later).unwrap();
    assert!(asking.begin(later).is_none());
    one.end(true);
    assert!(asking.begin(later).is_some());
}
