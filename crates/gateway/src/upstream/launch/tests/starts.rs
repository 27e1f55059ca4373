//! What a server starts with, and why one does not start.

use std::os::unix::fs::PermissionsExt as _;

use tokio::io::AsyncWriteExt as _;

use super::*;

#[tokio::test]
async fn the_environment_is_what_was_given_and_nothing_of_the_gateway() {
    let data = Data::new();
    // The tests' own process has more than this.
    assert!(std::env::vars_os().count() > 3, "something that could be inherited");
    let mut launch = data.shell("acme", "/usr/bin/env");
    launch.env = vec![("API_KEY".to_owned(), SecretString::from("key of acme\nand \"more\""))];
    let (out, _, _) = output(&launch).await;
    let folder = data.folder("acme").display().to_string();
    assert!(out.contains("API_KEY=key of acme\nand \"more\"\n"), "{out}");
    let mut names: Vec<&str> =
        out.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    names.sort_unstable();
    // The shell adds its folder and its own counters.
    names.retain(|name| !matches!(*name, "PWD" | "SHLVL" | "_" | "OLDPWD"));
    assert_eq!(names, ["API_KEY", "HOME", "LANG", "PATH", "TMPDIR"]);
    assert!(
        out.contains(&format!("HOME={folder}\n")) && out.contains(&format!("TMPDIR={folder}/.tmp\n")),
        "{out}"
    );

    let (out, _, _) = output(&data.shell("globex", "/usr/bin/env")).await;
    assert!(!out.contains("acme"), "{out}");
}

#[tokio::test]
async fn it_runs_in_its_own_folder_with_a_temporary_folder_that_is_fresh() {
    let data = Data::new();
    let launch = data.shell(
        "acme",
        r#"pwd; ls -A "$TMPDIR" | wc -l; stat -c %a "$TMPDIR"; mktemp >/dev/null && ls -A "$TMPDIR" | wc -l; touch f; stat -c %a f"#,
    );
    let folder = data.folder("acme").display().to_string();
    for _ in 0..2 {
        let (out, err, _) = output(&launch).await;
        assert_eq!(
            out.lines().map(str::trim).collect::<Vec<_>>(),
            [&*folder, "0", "700", "1", "600"],
            "{err}"
        );
    }
}

/// What a server leaves in place of its temporary folder must not make the next start empty another one.
#[tokio::test]
async fn a_link_in_place_of_the_temporary_folder_leads_nowhere() {
    let data = Data::new();
    output(&data.shell("acme", "rm -r .tmp; ln -s ../globex .tmp")).await;
    let (out, _, _) = output(&data.shell("acme", "stat -c %F .tmp")).await;
    assert_eq!(out.trim(), "directory");
    assert!(data.folder("globex").join("canary").exists());
}

/// What a server leaves there must not keep it from being started again.
#[tokio::test]
async fn a_temporary_folder_is_emptied_however_deep_it_is() {
    let data = Data::new();
    let script =
        "import os\nos.chdir('.tmp')\nfor _ in range(3000):\n    os.mkdir('d'); os.chdir('d')\nprint('made')";
    for launcher in launchers() {
        assert_eq!(output_of(&launcher, &data.python("acme", script)).await.0.trim(), "made");
        let mut launch = data.shell("acme", "ls -A .tmp | wc -l");
        launch.limits.open_files = 32;
        assert_eq!(output_of(&launcher, &launch).await.0.trim(), "0", "{}", launcher.means());
    }
}

#[tokio::test]
async fn messages_go_both_ways_from_the_first_byte_on() {
    let data = Data::new();
    let mut child = spawn(&data.launch("acme", "cat", &[])).await;
    child.stdin.write_all(b"first\n").await.expect("written");
    assert_eq!(line(&mut child).await, "first");
    child.stdin.write_all(b"second\n").await.expect("written");
    assert_eq!(line(&mut child).await, "second");
}

#[tokio::test]
async fn only_the_three_standard_files_are_open() {
    let data = Data::new();
    // The tests have files open themselves; one is made inheritable as a careless parent would have it.
    let careless = fs::File::open("/proc/self/status").expect("a file");
    rustix::io::fcntl_setfd(&careless, rustix::io::FdFlags::empty()).expect("inheritable");
    let script = "import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd')))";
    let (out, err, _) = output(&data.python("acme", script)).await;
    // The fourth is that of the listing itself.
    assert_eq!(out.trim(), "[0, 1, 2, 3]", "{err}");
}

#[tokio::test]
async fn secrets_are_in_no_command_line_and_not_in_the_keepers_environment() {
    let data = Data::new();
    let mut launch = data.shell("acme", "echo $$; cat");
    launch.env = vec![("API_KEY".to_owned(), SecretString::from("canary-5f1c"))];
    let mut child = spawn(&launch).await;
    let server: i32 = line(&mut child).await.parse().expect("a number");
    let keeper = child.process.0.id().expect("it runs");
    let read = |pid: i32, what: &str| fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
    let holds = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("canary-5f1c");
    let keeper = i32::try_from(keeper).expect("a number");
    assert!(!holds(&read(keeper, "cmdline")) && !holds(&read(keeper, "environ")));
    assert!(!holds(&read(server, "cmdline")));
    // That the test is awake.
    assert!(holds(&read(server, "environ")));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told_with_where_it_was_looked_for() {
    let data = Data::new();
    let said = refusal(&data.launch("acme", "no-such-program", &[])).await;
    assert!(
        said.contains("no program `no-such-program` in its PATH, `/usr/local/bin:/usr/bin:/bin`"),
        "{said}"
    );
    let mut launch = data.launch("acme", "no-such-program", &[]);
    launch.env = vec![("PATH".to_owned(), SecretString::from("/opt/other"))];
    let said = refusal(&launch).await;
    assert!(said.contains("`/opt/other`") && said.contains("set `PATH`"), "{said}");
    let said = refusal(&data.launch("acme", "/no/such/program", &[])).await;
    assert!(said.contains("there is no program `/no/such/program`"), "{said}");
    let said = refusal(&data.launch("acme", "bin/server", &[])).await;
    assert!(said.contains("write the whole path"), "{said}");
}

#[tokio::test]
async fn a_file_that_is_no_program_and_folders_that_are_not_there_are_told() {
    let data = Data::new();
    let file = data.folder("acme").join("script");
    fs::write(&file, "#!/bin/sh\n").expect("a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("not executable");
    let said = refusal(&data.launch("acme", &file.display().to_string(), &[])).await;
    assert!(said.contains("not an executable file"), "{said}");

    let mut launch = data.shell("acme", "true");
    launch.folder = data.root.path().join("nobody");
    let said = refusal(&launch).await;
    assert!(said.contains("is not there"), "{said}");
    launch.folder = PathBuf::from("relative");
    assert!(refusal(&launch).await.contains("not an absolute path"));
}

#[tokio::test]
async fn variables_that_are_none_and_too_many_are_refused() {
    let data = Data::new();
    for name in ["", "A=B", "A\0B"] {
        let mut launch = data.shell("acme", "true");
        launch.env = vec![(name.to_owned(), SecretString::from("x"))];
        assert!(refusal(&launch).await.contains("variable"), "{name:?}");
    }
    let mut launch = data.shell("acme", "true");
    launch.env = vec![("A".to_owned(), SecretString::from("x".repeat(200_000)))];
    let said = refusal(&launch).await;
    assert!(said.contains("too large") && !said.contains("xxx"), "{said}");
    // The honest twin.
    launch.env = vec![("A".to_owned(), SecretString::from("x".repeat(90_000)))];
    launch.args = vec!["-c".to_owned(), "echo ${#A}".to_owned()];
    assert_eq!(output(&launch).await.0.trim(), "90000");
}

#[test]
fn a_program_without_the_entry_starts_no_server() {
    assert_eq!(program(None, true).expect("itself"), Path::new("/proc/self/exe"));
    assert_eq!(program(Some("/other".into()), false).expect("the other one"), Path::new("/other"));
    let error = program(None, false).expect_err("no entry");
    assert!(error.to_string().contains("partywall_gateway::launcher::enter()"), "{error}");
}

#[tokio::test]
async fn a_start_that_takes_too_long_is_given_up() {
    let data = Data::new();
    let ended = Instant::now();
    let answer = launcher().spawn(&data.shell("acme", "true"), ended).await;
    assert!(matches!(answer, Err(UpstreamError::TimedOut)));
}
