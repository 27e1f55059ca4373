//! Which calls of the system a server is refused, and that programs run without them.

use super::*;

/// Tells the name of the error that something ends with.
const TRIED: &str = "import ctypes, errno, os, resource, socket, sys\n\
                     libc = ctypes.CDLL(None, use_errno=True)\n\
                     def tried(do, *args):\n    try:\n        do(*args); return 'done'\n    except OSError as error:\n        return errno.errorcode[error.errno]\n\
                     def call(number, *args):\n    ctypes.set_errno(0)\n    \
                     return 'done' if libc.syscall(ctypes.c_long(number), *[ctypes.c_long(n) for n in args]) >= 0 else errno.errorcode[ctypes.get_errno()]\n";

/// The launchers of this system, if it can refuse calls; the operator is told where it cannot.
fn refusing() -> Vec<Launcher> {
    let mut launchers = launchers();
    launchers.retain(|launcher| {
        let lacks = launcher.means().lacking().iter().any(|lack| lack.contains("cannot refuse calls"));
        assert_ne!(lacks, launcher.means().calls);
        launcher.means().calls
    });
    launchers
}

#[tokio::test]
async fn it_cannot_change_the_limits_of_other_processes() {
    let data = Data::new();
    let mut other = spawn(&data.shell("globex", "echo $$; cat")).await;
    let (gateway, server) = (std::process::id(), line(&mut other).await);
    let script = format!(
        "{TRIED}for pid in ({gateway}, {server}, os.getppid()):\n    print(tried(resource.prlimit, pid, resource.RLIMIT_CPU, (900000, 900000)))\n\
         print(tried(resource.prlimit, 0, resource.RLIMIT_CPU, (900000, 900000)), tried(resource.setrlimit, resource.RLIMIT_NOFILE, (64, 64)))"
    );
    for launcher in refusing() {
        let (out, err, _) = output_of(&launcher, &data.python("acme", &script)).await;
        assert_eq!(out, "EPERM\nEPERM\nEPERM\ndone done\n", "{}: {err}", launcher.means());
    }
    // Those of the account, where they can be named.
    let script = format!(
        "{TRIED}print(tried(os.sched_setaffinity, {server}, [0]), tried(os.setpriority, 0, {server}, 5), \
         tried(os.setpriority, 2, 0, 5), tried(os.sched_setscheduler, {server}, os.SCHED_BATCH, os.sched_param(0)), \
         tried(os.sched_setaffinity, 0, os.sched_getaffinity(0)), tried(os.setpriority, 0, 0, 5))"
    );
    if launcher().means().calls {
        let (out, err, _) = output(&data.python("acme", &script)).await;
        assert_eq!(out.trim(), "EPERM EPERM EPERM EPERM done done", "{err}");
    }
}

/// Their numbers are those of x86_64; the refusals are the same elsewhere.
#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn memory_that_stays_other_views_and_ways_around_are_refused() {
    let data = Data::new();
    let script = format!(
        "{TRIED}print('shmget', call(29, 0, 4096, 0o1600), 'semget', call(64, 0, 1, 0o1600), 'msgget', call(68, 0, 0o1600), \
         'io_uring_setup', call(425, 8, 0), 'keyctl', call(250, 0, 0, 0), 'memfd_secret', call(447, 0), 'clone3', call(435, 0, 0))\n\
         print('ptrace', call(101, 0, 0, 0, 0), 'kcmp', call(312, 1, 1, 0, 0, 0), 'bpf', call(321, 0, 0, 0), 'perf', call(298, 0, 0, 0, 0, 0), \
         'userfaultfd', call(323, 1), 'fanotify', call(300, 0x200, 0), 'vm_readv', call(310, os.getpid(), 0, 0, 0, 0, 0), \
         'unshare', call(272, 0x10000000), 'clone', call(56, 0x10000011, 0, 0, 0, 0), 'mount', call(165, 0, 0, 0, 0, 0), \
         'by handle', call(304, -100, 0, 0), 'hide', call(157, 4, 0))\n\
         print('other ABI', call(0x40000000 + 39), 'own', call(39), 'files', call(272, 0x400), 'shown', call(157, 4, 1))"
    );
    for launcher in refusing() {
        let (out, err, _) = output_of(&launcher, &data.python("acme", &script)).await;
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.len(), 3, "{out} {err}");
        for (line, error, count) in [(0, "ENOSYS", 7), (1, "EPERM", 12)] {
            assert_eq!(lines[line].matches(error).count(), count, "{}: {}", launcher.means(), lines[line]);
        }
        assert_eq!(lines[2], "other ABI ENOSYS own done files done shown done", "{}", launcher.means());
    }
}

/// A program of 64 bits can make the calls of 32 bits, whose numbers are others.
#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn calls_of_32_bits_end_the_process() {
    let data = Data::new();
    // mov eax, 20 (getpid); int 0x80; ret
    let script = "import ctypes, mmap\n\
                  code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)\n\
                  code.write(b'\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3')\n\
                  print('before', flush=True)\n\
                  print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))(), flush=True)";
    for launcher in refusing() {
        let (out, err, code) = output_of(&launcher, &data.python("acme", script)).await;
        assert_eq!((out.trim(), code), ("before", Some(128 + 31)), "{}: {err}", launcher.means());
    }
}

/// What Landlock does not see: a port that was not bound, another protocol with the ports of TCP, connecting with the first byte.
#[tokio::test]
async fn ports_are_closed_on_ways_around_as_well() {
    let data = Data::new();
    let open = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = open.local_addr().expect("an address").port();
    let script = format!(
        "{TRIED}tcp = socket.socket()\n\
         def kind(*args):\n    socket.socket(*args).close()\n\
         print(tried(tcp.listen), tried(kind, socket.AF_INET, socket.SOCK_STREAM, 262), \
         tried(kind, socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_CLOEXEC, 132), tried(kind, socket.AF_INET, socket.SOCK_SEQPACKET), \
         tried(kind, 43, socket.SOCK_STREAM), tried(kind, 40, socket.SOCK_STREAM))\n\
         fast = lambda: socket.socket().sendto(b'x', socket.MSG_FASTOPEN, ('127.0.0.1', {port}))\n\
         more = lambda: socket.socket().sendmsg([b'x'], [], socket.MSG_FASTOPEN, ('127.0.0.1', {port}))\n\
         print(tried(fast), tried(more), tried(kind, socket.AF_INET, socket.SOCK_DGRAM), tried(kind, socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC))\n\
         a, b = socket.socketpair(); a.sendmsg([b'fine']); print(b.recv(9), tried(kind, socket.AF_UNIX), tried(kind))"
    );
    for launcher in refusing() {
        for (connect, listen, first, second) in [
            (
                None,
                false,
                "EPERM EPROTONOSUPPORT EPROTONOSUPPORT EPROTONOSUPPORT EAFNOSUPPORT EAFNOSUPPORT",
                "done done done done",
            ),
            (
                Some(vec![443]),
                false,
                "EPERM EPROTONOSUPPORT EPROTONOSUPPORT EPROTONOSUPPORT EAFNOSUPPORT EAFNOSUPPORT",
                "EOPNOTSUPP EOPNOTSUPP done done",
            ),
            (
                Some(vec![]),
                true,
                "done EPROTONOSUPPORT EPROTONOSUPPORT EPROTONOSUPPORT EAFNOSUPPORT EAFNOSUPPORT",
                "EOPNOTSUPP EOPNOTSUPP EPERM EPERM",
            ),
        ] {
            let mut launch = data.python("acme", &script);
            launch.network = Network { connect, listen };
            let (out, err, _) = output_of(&launcher, &launch).await;
            // Two names of one error.
            let out = out.replace("ENOTSUP", "EOPNOTSUPP");
            let expected = format!("{first}\n{second}\nb'fine' done done\n");
            assert_eq!(out, expected, "{} {:?}: {err}", launcher.means(), launch.network);
        }
    }
}

/// What servers are made of, with the calls that they try first, and do without.
#[tokio::test]
async fn programs_run_without_what_they_are_refused() {
    let data = Data::new();
    let python = "import asyncio, concurrent.futures, hashlib, ssl, subprocess, sqlite3, tempfile, threading\n\
                  async def main():\n    \
                      child = await asyncio.create_subprocess_exec('cat', stdin=-1, stdout=-1)\n    \
                      out, _ = await child.communicate(b'child')\n    \
                      told = await asyncio.to_thread(lambda: subprocess.run(['sh', '-c', 'echo shell'], capture_output=True, text=True).stdout)\n    \
                      return out.decode(), told.strip()\n\
                  sqlite3.connect('base.sqlite').execute('create table t (x)')\n\
                  tempfile.TemporaryFile().write(b'x')\n\
                  with concurrent.futures.ThreadPoolExecutor(4) as pool:\n    sums = list(pool.map(lambda n: n * n, range(3)))\n\
                  ssl.create_default_context()\n\
                  print(*asyncio.run(main()), sums)";
    let node = "const { Worker } = require('worker_threads'); const { execSync, spawn } = require('child_process'); const fs = require('fs/promises');\n\
                (async () => {\n\
                await fs.writeFile('file', 'text'); const read = (await fs.readFile('file', 'utf8'));\n\
                const said = await new Promise((done) => new Worker(\"require('worker_threads').parentPort.postMessage('worker')\", { eval: true }).on('message', done));\n\
                const child = spawn('cat'); let out = ''; child.stdout.on('data', (data) => out += data); child.stdin.end('child');\n\
                await new Promise((done) => child.on('close', done));\n\
                for await (const _ of await fs.opendir('.')) { }\n\
                const hash = await require('util').promisify(require('crypto').pbkdf2)('a', 'b', 10, 4, 'sha256');\n\
                require('fs').watch('.').close();\n\
                console.log(read, said, out, execSync('echo shell').toString().trim(), hash.length);\n\
                })()";
    for launcher in launchers() {
        let (out, err, _) = output_of(&launcher, &data.python("acme", python)).await;
        assert_eq!(out.trim(), "child shell [0, 1, 4]", "{}: {err}", launcher.means());
        fs::remove_file(data.folder("acme").join("base.sqlite")).expect("a file");
        let (out, err, _) = output_of(&launcher, &data.launch("acme", "node", &["-e", node])).await;
        assert_eq!(out.trim(), "text worker child shell 4", "{}: {err}", launcher.means());
    }
}
