//! What a server may use.

use super::*;

#[tokio::test]
async fn a_server_that_takes_too_much_memory_dies_alone() {
    let data = Data::new();
    let mut other = spawn(&data.launch("globex", "cat", &[])).await;
    let mut launch = data.python(
        "acme",
        "a = []\nfor _ in range(400):\n    a.append(b'x' * (1 << 20))\nimport time; time.sleep(30)",
    );
    launch.limits.memory = 64 << 20;
    let (_, err, code) = output(&launch).await;
    assert_eq!(code, Some(137));
    assert!(err.contains("partywall: the server was ended, since its processes used"), "{err}");
    assert!(other.process.0.try_wait().expect("asked").is_none());
}

/// What one process may claim is bounded by the system itself, so that nothing has to be noticed first.
#[tokio::test]
async fn a_process_cannot_claim_much_more_than_the_server_may_use() {
    let data = Data::new();
    let mut launch =
        data.python("acme", "try:\n    bytearray(1 << 30)\nexcept MemoryError:\n    print('no')");
    launch.limits.memory = 64 << 20;
    assert_eq!(output(&launch).await.0.trim(), "no");
}

/// The memory of all its processes counts together.
#[tokio::test]
async fn memory_cannot_be_had_by_more_processes() {
    let data = Data::new();
    let script = "import os, time\nfor _ in range(4):\n    if os.fork() == 0:\n        a = b'x' * (30 << 20)\n        time.sleep(20)\n        os._exit(0)\ntime.sleep(20)";
    let mut launch = data.python("acme", script);
    launch.limits.memory = 64 << 20;
    let (_, err, code) = output(&launch).await;
    assert_eq!(code, Some(137), "{err}");
}

#[tokio::test]
async fn too_many_processes_end_the_server_and_all_of_them() {
    let data = Data::new();
    // Bounded by itself as well, should nothing else do it.
    let script = "for i in $(seq 40); do setsid sleep 41.5 & done; echo started; sleep 20";
    let mut launch = data.shell("acme", script);
    launch.limits.processes = 16;
    let (out, err, code) = output(&launch).await;
    assert_eq!((out.trim(), code), ("started", Some(137)), "{err}");
    assert!(err.contains("processes, which is more than 16"), "{err}");
    assert_eq!(sleepers("41.5"), 0);
    // The honest twin.
    launch.args = vec!["-c".to_owned(), "for i in 1 2 3; do sleep 0.5 & done; wait; echo fine".to_owned()];
    assert_eq!(output(&launch).await.0.trim(), "fine");
}

/// Within a view of its own the kernel counts for each server, if the account is not root: nothing has to be noticed first.
#[tokio::test]
async fn the_kernel_stops_a_server_that_starts_too_much_where_it_can_count() {
    let data = Data::new();
    let script = "import threading, time\nfor n in range(100):\n    try:\n        threading.Thread(target=time.sleep, args=(5,), daemon=True).start()\n    \
                  except RuntimeError:\n        break\nprint(n, flush=True)";
    for launcher in launchers() {
        let mut launch = data.python("acme", script);
        launch.limits.processes = 2;
        let (out, err, _) = output_of(&launcher, &launch).await;
        let counts = launcher.means().bubblewrap.is_some() && !rustix::process::geteuid().is_root();
        let started: u32 = out.trim().parse().unwrap_or(99);
        assert_eq!(started < 64, counts, "{}: {out} {err}", launcher.means());
    }
}

#[tokio::test]
async fn open_files_the_size_of_a_file_and_core_dumps_are_bounded() {
    let data = Data::new();
    let mut launch =
        data.shell("acme", "ulimit -n; ulimit -c; head -c 200000 /dev/zero > big; stat -c %s big");
    launch.limits.open_files = 100;
    launch.limits.file_size = 65536;
    let (out, err, _) = output(&launch).await;
    assert_eq!(out.lines().collect::<Vec<_>>(), ["100", "0", "65536"], "{err}");
}

/// Files in memory are in no process's own count, as long as they are not mapped.
#[tokio::test]
async fn memory_in_files_without_a_name_counts_once_whoever_has_it_open() {
    let data = Data::new();
    let script = |times: u32| {
        format!(
            "import os, time\nfor _ in range({times}):\n    fd = os.memfd_create('x')\n    for _ in range(30):\n        os.write(fd, b'x' * (1 << 20))\n\
             os.fork()\ntime.sleep(1)\nprint('fine', flush=True)\ntime.sleep(5 if {times} > 1 else 0)"
        )
    };
    for launcher in launchers() {
        let mut launch = data.python("acme", &script(3));
        launch.limits.memory = 80 << 20;
        let (_, err, code) = output_of(&launcher, &launch).await;
        assert_eq!(code, Some(137), "{}: {err}", launcher.means());
        assert!(err.contains("bytes of memory"), "{err}");
        // The honest twin, whose two processes have the same one open.
        launch.args = vec!["-c".to_owned(), script(1)];
        let (out, err, _) = output_of(&launcher, &launch).await;
        assert!(out.starts_with("fine\n"), "{}: {out} {err}", launcher.means());
    }
}

/// V8 reserves far more addresses than it uses.
#[tokio::test]
async fn node_runs_within_the_usual_limits() {
    let data = Data::new();
    let script = "const a = []; for (let i = 0; i < 50; i++) a.push(Buffer.alloc(1 << 20)); \
                  setTimeout(() => console.log('fine', a.length, require('os').tmpdir().endsWith('.tmp')), 600)";
    let (out, err, _) = output(&data.launch("acme", "node", &["-e", script])).await;
    assert_eq!(out.trim(), "fine 50 true", "{err}");
}
