//! How a server ends, and that nothing is left of it.

use std::process::Command as Started;

use super::*;

/// A script that starts a child, one that leaves the process group, and one whose parent is gone, and tells their numbers.
const FAMILY: &str = "sleep 60 & a=$!; setsid sleep 60 & b=$!; (setsid sh -c 'sleep 60 & echo $! > lost; echo $$ >> lost; exec sleep 60' &); \
                      while [ ! -s lost ] || [ $(wc -l < lost) -lt 2 ]; do sleep 0.05; done; echo $$ $a $b $(cat lost); cat";

async fn family(child: &mut Child) -> Vec<i32> {
    let line = line(child).await;
    let pids: Vec<i32> = line.split(' ').map(|pid| pid.parse().expect("a number")).collect();
    assert_eq!(pids.len(), 5, "{line}");
    assert!(pids.iter().all(|&pid| is_there(pid)), "{line}");
    pids
}

#[tokio::test]
async fn ending_a_server_takes_all_that_it_started() {
    let data = Data::new();
    let mut child = spawn(&data.shell("acme", FAMILY)).await;
    let pids = family(&mut child).await;
    let started = Instant::now();
    child.process.end().await;
    assert!(pids.iter().all(|&pid| !is_there(pid)));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert!(child.process.wait().await.is_ok(), "waited for, so no zombie");
}

#[tokio::test]
async fn dropping_a_server_takes_all_that_it_started() {
    let data = Data::new();
    let mut child = spawn(&data.shell("acme", FAMILY)).await;
    let pids = family(&mut child).await;
    drop(child);
    assert!(are_gone(&pids).await);
}

#[tokio::test]
async fn a_server_that_ends_takes_all_that_it_started() {
    let data = Data::new();
    let mut child = spawn(&data.shell("acme", &FAMILY.replace("; cat", "; exit 3"))).await;
    let line = line(&mut child).await;
    let status = child.process.wait().await.expect("a status");
    assert_eq!(status.code(), Some(3));
    let pids: Vec<i32> = line.split(' ').map(|pid| pid.parse().expect("a number")).collect();
    assert!(pids.iter().all(|&pid| !is_there(pid)));
}

#[tokio::test]
async fn a_server_has_some_time_when_its_input_has_ended() {
    let data = Data::new();
    // This one ends by itself.
    let mut child = spawn(&data.shell("acme", "cat; echo saved > file; exit 5")).await;
    drop(child.stdin);
    assert_eq!(child.process.wait().await.expect("a status").code(), Some(5));
    assert!(data.folder("acme").join("file").exists());
    // This one does not.
    let mut launch = data.shell("acme", "sleep 60");
    launch.limits.grace = Duration::from_millis(300);
    let mut child = spawn(&launch).await;
    drop(child.stdin);
    let started = Instant::now();
    child.process.wait().await.expect("a status");
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(started.elapsed() > Duration::from_millis(250));
}

#[tokio::test]
async fn a_server_that_nobody_reads_any_more_is_ended() {
    let data = Data::new();
    let mut child = spawn(&data.shell("acme", "trap '' TERM HUP INT PIPE; sleep 60")).await;
    drop(child.stdout);
    let started = Instant::now();
    child.process.wait().await.expect("a status");
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// The same where the numbers of processes are others inside and outside.
#[tokio::test]
async fn each_means_leaves_nothing_behind() {
    for (turn, launcher) in launchers().into_iter().enumerate() {
        for way in 0..3 {
            let data = Data::new();
            let time = format!("2{turn}.{way}{:07}", std::process::id());
            let script = format!(
                "sleep {time} & setsid sleep {time} & (setsid sh -c 'sleep {time} & exec sleep {time}' &); sleep 0.3; echo up; exec cat"
            );
            let mut child = launcher.spawn(&data.shell("acme", &script), soon()).await.expect("it starts");
            assert_eq!(line(&mut child).await, "up");
            assert_eq!(sleepers(&time), 4);
            match way {
                0 => child.process.end().await,
                1 => drop(child),
                _ => child.process.0.start_kill().expect("killed"),
            }
            // A keeper that was killed could not look for those that left; in a view of its own the kernel does.
            let may_stay = way == 2 && launcher.means().bubblewrap.is_none();
            for _ in 0..200 {
                if sleepers(&time) == 0 || may_stay {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
            assert!(sleepers(&time) == 0 || may_stay, "{} {way}", launcher.means());
        }
    }
}

/// The gateway's own death is nobody's code: the test starts itself again as a gateway, and kills that.
#[tokio::test]
async fn killing_the_gateway_takes_the_servers_too() {
    let data = Data::new();
    let file = data.folder("acme").join("pids");
    let mut gateway = Started::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "--ignored", "upstream::launch::tests::ends::gateway_that_is_killed"])
        .env("PARTYWALL_TEST_FOLDER", data.root.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("another process");
    let mut pids = Vec::new();
    for _ in 0..800 {
        let text = fs::read_to_string(&file).unwrap_or_default();
        pids = text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        if pids.len() == 6 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let running = pids.len() == 6 && pids.iter().all(|&pid| is_there(pid));
    gateway.kill().expect("killed");
    gateway.wait().expect("ended");
    assert!(running, "{pids:?}");
    assert!(are_gone(&pids).await);
}

/// The other side of [`killing_the_gateway_takes_the_servers_too`].
#[tokio::test]
#[ignore = "is started by another test"]
async fn gateway_that_is_killed() {
    let Some(root) = std::env::var_os("PARTYWALL_TEST_FOLDER").map(PathBuf::from) else { return };
    let root = root.canonicalize().expect("a folder");
    let launch = Launch {
        program: "sh".to_owned(),
        args: vec!["-c".to_owned(), FAMILY.to_owned()],
        env: Vec::new(),
        folder: root.join("acme"),
        readable: Vec::new(),
        network: Network::default(),
        limits: Limits::default(),
    };
    let mut child = spawn(&launch).await;
    let pids = family(&mut child).await;
    let keeper = child.process.0.id().expect("it runs");
    let pids: Vec<String> = pids.iter().map(ToString::to_string).chain([keeper.to_string()]).collect();
    fs::write(root.join("acme/pids"), pids.join(" ")).expect("a file");
    tokio::time::sleep(Duration::from_secs(60)).await;
}

/// A server that kills its keeper, where it can, dies with it.
#[tokio::test]
async fn a_keeper_that_is_killed_takes_the_server_along() {
    let data = Data::new();
    let mut child = spawn(&data.shell("acme", "echo $$; cat")).await;
    let server: i32 = line(&mut child).await.parse().expect("a number");
    child.process.0.start_kill().expect("killed");
    assert!(are_gone(&[server]).await);
}
