//! What a server can reach, with each means that this system has.

use super::*;

#[tokio::test]
async fn it_reads_and_writes_its_own_folder_and_nobody_elses() {
    let data = Data::new();
    let root = data.root.path().canonicalize().expect("a folder").display().to_string();
    let script = format!(
        "cat canary; echo; echo new > file && cat file; \
         cat {root}/globex/canary; ls {root}/globex; cat {root}/master.key; \
         echo stolen > {root}/globex/file; echo stolen > {root}/file; ln {root}/globex/canary mine; \
         mv {root}/globex/canary mine; cat mine"
    );
    for launcher in launchers() {
        let (out, err, _) = output_of(&launcher, &data.shell("acme", &script)).await;
        assert_eq!(out, "canary of acme\nnew\n", "{err}");
        assert!(
            !data.folder("globex").join("file").exists() && data.folder("globex").join("canary").exists()
        );
        // A view of its own has the folder that its own one is in, and nothing else there.
        let (out, _, _) = output_of(&launcher, &data.shell("acme", &format!("ls {root}"))).await;
        assert!(out.is_empty() || out == "acme\n", "{out}");
    }
}

/// A link in a tenant's folder is followed, and what it leads to is as closed as without it.
#[tokio::test]
async fn links_lead_nowhere() {
    let data = Data::new();
    let script = "ln -s ../globex other; ln -s ../master.key key; cat other/canary key; ls other/; \
                  cat /proc/self/root/etc/shadow";
    for launcher in launchers() {
        let (out, _, _) = output_of(&launcher, &data.shell("acme", script)).await;
        assert_eq!(out, "");
    }
}

#[tokio::test]
async fn system_folders_are_read_only_and_shared_ones_are_closed() {
    let data = Data::new();
    let marker = format!("partywall-test-{}", std::process::id());
    let script = format!(
        "touch /usr/{marker} /etc/{marker} /{marker} /dev/shm/{marker}; echo x > /tmp/{marker}; \
         ls /root /home /var /run /etc/ssh; cat /etc/shadow; head -c 4 /etc/passwd; echo; date > /dev/null && echo fine"
    );
    for launcher in launchers() {
        let (out, err, _) = output_of(&launcher, &data.shell("acme", &script)).await;
        assert_eq!(out, "root\nfine\n", "{err}");
        for folder in ["/usr", "/etc", "/", "/dev/shm", "/tmp"] {
            assert!(!Path::new(folder).join(&marker).exists(), "{folder}");
        }
    }
    // Nothing was written to what only the server sees either, where nobody would count it.
    for launcher in launchers() {
        let script = "for f in / /dev/shm /dev /tmp /run; do (echo x > $f/new) 2>/dev/null && echo $f; done";
        let (out, _, _) = output_of(&launcher, &data.shell("acme", script)).await;
        assert_eq!(out, "");
    }
}

/// Root writes the kernel's settings without any privilege, and one of them is a program that the kernel runs.
#[tokio::test]
async fn the_kernels_settings_cannot_be_written() {
    let data = Data::new();
    let script = "for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sys/vm/drop_caches \
                  /proc/sysrq-trigger; do (: >> $f) 2>/dev/null && echo $f; done; \
                  cat /proc/sys/kernel/ostype";
    for launcher in launchers() {
        let (out, err, _) = output_of(&launcher, &data.shell("acme", script)).await;
        assert_eq!(out, "Linux\n", "{}: {err}", launcher.means());
    }
}

/// Another tenant's server runs under the same account: its environment, memory and command line are closed all the same.
#[tokio::test]
async fn it_cannot_look_into_the_server_of_another_tenant_or_stop_it() {
    let data = Data::new();
    let mut launch = data.shell("globex", "echo $$; cat");
    launch.env = vec![("API_KEY".to_owned(), SecretString::from("key of globex"))];
    let mut other = spawn(&launch).await;
    let server: i32 = line(&mut other).await.parse().expect("a number");
    let keeper = other.process.0.id().expect("it runs");
    let gateway = std::process::id();
    let script = format!(
        "for pid in {server} {keeper} {gateway}; do cat /proc/$pid/environ; cat /proc/$pid/cmdline; cat /proc/$pid/mem; \
         ls /proc/$pid/cwd/; ls /proc/$pid/fd; kill -9 $pid; done; cat /proc/*/environ /proc/*/cmdline; echo done"
    );
    for launcher in launchers() {
        let (out, _, _) = output_of(&launcher, &data.shell("acme", &script)).await;
        // In a view of its own, or of its own process, it sees what it is itself.
        assert!(out.ends_with("done\n") && !out.contains("globex"), "{}: {out}", launcher.means());
        assert!(is_there(server), "{}", launcher.means());
        // The honest twin: it may stop what it started.
        let script = "sleep 60 & kill -9 $!; wait $!; echo $?";
        assert_eq!(output_of(&launcher, &data.shell("acme", script)).await.0, "137\n");
    }
}

#[tokio::test]
async fn it_has_no_privileges_and_gains_none() {
    let data = Data::new();
    let script = "grep -E '^(NoNewPrivs|CapEff|CapPrm|CapBnd):' /proc/$$/status | tr -d '\\t'; \
                  chown 1:1 canary && echo yes; mount -t tmpfs none /tmp && echo yes";
    for launcher in launchers() {
        let (out, _, _) = output_of(&launcher, &data.shell("acme", script)).await;
        assert!(out.contains("NoNewPrivs:1") && !out.contains("yes"), "{out}");
        for set in ["CapEff", "CapPrm"] {
            assert!(out.contains(&format!("{set}:0000000000000000")), "{out}");
        }
        if rustix::process::geteuid().is_root() {
            assert!(out.contains("CapBnd:0000000000000000"), "{out}");
        }
    }
}

#[tokio::test]
async fn a_server_outside_the_system_folders_is_named_and_can_be_allowed() {
    let data = Data::new();
    let code = tempfile::tempdir().expect("a folder");
    let script = code.path().join("server.py");
    fs::write(code.path().join("part.py"), "NAME = 'part'\n").expect("a file");
    fs::write(&script, "import part; print(part.NAME)\n").expect("a file");
    for launcher in launchers() {
        let mut launch = data.launch("acme", "/usr/bin/python3", &[&script.display().to_string()]);
        let said = refusal_of(&launcher, &launch).await;
        assert!(said.contains("may not read") && said.contains("server.py"), "{said}");
        assert!(said.contains("list the folder"), "{said}");
        launch.readable = vec![code.path().to_path_buf()];
        let (out, err, _) = output_of(&launcher, &launch).await;
        assert_eq!(out.trim(), "part", "{err}");
        // Read, and no more than that.
        launch.program = "sh".to_owned();
        launch.args = vec!["-c".to_owned(), format!("echo x > {}", code.path().join("new").display())];
        output_of(&launcher, &launch).await;
        assert!(!code.path().join("new").exists());
    }
}

/// A program that was installed elsewhere, with a link to its interpreter, as Python's virtual environments are.
#[tokio::test]
async fn an_installed_program_brings_what_belongs_to_it() {
    let data = Data::new();
    let (venv, python) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    for folder in [
        venv.path().join("bin"),
        venv.path().join("lib"),
        python.path().join("bin"),
        python.path().join("lib"),
    ] {
        fs::create_dir(folder).expect("a folder");
    }
    fs::write(venv.path().join("lib/part"), "from the environment\n").expect("a file");
    fs::write(venv.path().join("secret"), "not its own\n").expect("a file");
    fs::write(python.path().join("lib/part"), "from the interpreter\n").expect("a file");
    fs::copy("/bin/sh", python.path().join("bin/python9")).expect("a program");
    std::os::unix::fs::symlink(python.path().join("bin/python9"), venv.path().join("bin/python"))
        .expect("a link");
    let (root, base) = (venv.path().display(), python.path().display());
    let program = venv.path().join("bin/server");
    fs::write(&program, format!("#!{root}/bin/python\ncat {root}/lib/part {base}/lib/part {root}/secret\n"))
        .expect("a file");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&program, executable).expect("executable");
    for launcher in launchers() {
        let launch = data.launch("acme", &program.display().to_string(), &[]);
        let (out, err, _) = output_of(&launcher, &launch).await;
        assert_eq!(out, "from the environment\nfrom the interpreter\n", "{}: {err}", launcher.means());
        // The same by name.
        let mut launch = data.launch("acme", "server", &[]);
        launch.env = vec![("PATH".to_owned(), SecretString::from(format!("{root}/bin:/usr/bin:/bin")))];
        assert_eq!(output_of(&launcher, &launch).await.0, out);
    }
}

/// Sockets in folders belong to others: a database's lets in whoever has the gateway's account.
#[tokio::test]
async fn a_view_of_its_own_has_no_sockets_and_no_names_of_others() {
    let data = Data::new();
    let root = data.root.path().canonicalize().expect("a folder").display().to_string();
    let _socket = std::os::unix::net::UnixListener::bind(format!("{root}/socket")).expect("a socket");
    let script = format!(
        "import os, socket\n\
         print(os.path.exists('{root}/globex'))\n\
         try:\n    socket.socket(socket.AF_UNIX).connect('{root}/socket'); print('connected')\n\
         except OSError as error:\n    print('no')"
    );
    for launcher in launchers() {
        let (out, err, _) = output_of(&launcher, &data.python("acme", &script)).await;
        match launcher.means().bubblewrap {
            Some(_) => assert_eq!(out, "False\nno\n", "{err}"),
            // What Landlock does not do, and the operator is told.
            None => {
                assert!(launcher.means().lacking().iter().any(|lack| lack.contains("sockets in folders")))
            }
        }
    }
}

#[tokio::test]
async fn ports_are_closed_unless_they_are_allowed() {
    let data = Data::new();
    let open = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = open.local_addr().expect("an address").port();
    let script = format!(
        "import socket\n\
         def tried(do):\n    try:\n        do(); return True\n    except PermissionError:\n        return False\n\
         print(tried(lambda: socket.create_connection(('127.0.0.1', {port}))), \
               tried(lambda: socket.create_server(('127.0.0.1', 0))))"
    );
    let mut launch = data.python("acme", &script);
    for (connect, listen, expected) in [
        (None, false, "True False"),
        (None, true, "True True"),
        (Some(vec![443]), false, "False False"),
        (Some(vec![443, port]), true, "True True"),
    ] {
        launch.network = Network { connect, listen };
        let (out, err, _) = output(&launch).await;
        assert_eq!(out.trim(), expected, "{err}");
    }
}
