//! `probe`, `probes` and `report` as their users meet them: what is wrong is said, nothing secret is repeated.

use std::path::Path;

use partywall_model::{Layer, Outcome, Severity, Verdict, VerdictStats, Verdicts};
use serde_json::Value;

use crate::support::{Running, fails, ok, partywall, run};

const DEAD: &str = "http://127.0.0.1:9/mcp";

#[test]
fn what_is_wrong_is_said_and_secrets_are_not_repeated() {
    let here = Path::new(".");
    let tenants = ["--tenant", "acme=hunter2-acme", "--tenant", "globex=hunter2-globex"];
    let probe = |more: &[&str]| fails(here, &[&["probe"], more].concat(), "");
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.txt");
    std::fs::write(&key, "hunter2, which is no key").unwrap();
    let key = key.to_str().unwrap();
    // A token as an issuer signs it with an elliptic curve.
    let signed = ["--tenant", "acme=eyJhbGciOiJFUzI1NiJ9.e30.hunter2", "--tenant", "globex=hunter2-globex"];
    let cases: [(Vec<&str>, &str); 10] = [
        ([&[DEAD][..], &signed, &["--issuer-key", key]].concat(), "openssl pkcs8"),
        ([&[DEAD][..], &tenants, &["--issuer-key", key]].concat(), "no JSON web tokens"),
        ([&[DEAD][..], &tenants, &["--quick", "--fail-on", "inconclusive"]].concat(), "always fail"),
        ([&[DEAD][..], &tenants].concat(), "Connection refused"),
        ([&["nonsense"][..], &tenants].concat(), "is no URL"),
        ([&["http://example.com/mcp"][..], &tenants].concat(), "--i-own-this-target"),
        (vec![DEAD, "--tenant", "hunter2"], "NAME=TOKEN"),
        (vec![DEAD, "--tenant", "acme=@no-such-file", "--tenant", "b=c"], "no-such-file"),
        ([&[DEAD][..], &tenants, &["--header", "hunter2"]].concat(), "Name: value"),
        ([&[DEAD][..], &tenants, &["--probe", "XX-99"]].concat(), "partywall probes"),
    ];
    for (arguments, says) in cases {
        let error = probe(&arguments);
        assert!(error.contains(says) && !error.contains("hunter2"), "{arguments:?}: {error}");
    }
}

#[test]
fn techniques_are_listed_and_explained() {
    let here = Path::new(".");
    let text = ok(here, &["probes"], "");
    for probe in partywall_prober::probes() {
        let id = probe.page.check.id;
        assert!(text.contains(id) && ok(here, &["explain", id], "").starts_with(&format!("# {id}\n")));
        for technique in probe.techniques {
            assert!(text.contains(technique.id), "{}", technique.id);
        }
    }
    assert!(ok(here, &["probe", "--help"], "").contains("of whatever layer"));
    assert!(ok(here, &["explain", "se-01"], "").starts_with("# foreign-session\n"));
    let listed: Value = serde_json::from_str(&ok(here, &["probes", "--format", "json"], "")).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), partywall_prober::probes().len());
}

#[test]
fn evidence_is_merged_and_says_by_its_status_what_was_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let verdict = |verdict| Verdict {
        probe: "foreign-ids".to_owned(),
        technique: "DA-01".to_owned(),
        name: "another tenant's ids".to_owned(),
        layer: Layer::Data,
        verdict,
        severity: Severity::High,
        reason: "because".to_owned(),
        evidence: Vec::new(),
        replay: String::new(),
    };
    let schema = ok(folder.path(), &["schema", "verdicts"], "");
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    for (outcome, status) in [(Outcome::Isolated, 0), (Outcome::Leaked, 1)] {
        let stats = VerdictStats::default();
        let verdicts =
            Verdicts::new("1", DEAD.to_owned(), Vec::new(), vec![verdict(outcome)], stats, Vec::new());
        let json = serde_json::to_value(&verdicts).unwrap();
        assert!(schema.is_valid(&json), "{json}");
        std::fs::write(file("probe.json"), json.to_string()).unwrap();
        let output =
            run(folder.path(), &["report", "probe.json", "--output", "r.html", "--commit", "abc123"], "");
        assert_eq!(output.status.code(), Some(status), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(std::fs::read_to_string(file("r.html")).unwrap().contains("mapping, not certification"));
        let bundle: Value = serde_json::from_str(&std::fs::read_to_string(file("r.json")).unwrap()).unwrap();
        assert_eq!((&bundle["commit"], &bundle["sources"][0]["face"]), (&"abc123".into(), &"probe".into()));
    }
    let mut cut = Verdicts::new(
        "1",
        DEAD.to_owned(),
        Vec::new(),
        vec![verdict(Outcome::Isolated)],
        VerdictStats::default(),
        Vec::new(),
    );
    cut.incomplete = vec!["the time was up".to_owned()];
    let evidence = serde_json::to_string(&cut).unwrap();
    std::fs::write(file("cut.json"), &evidence).unwrap();
    let output = run(folder.path(), &["report", "cut.json", "--output", "cut.html"], "");
    assert_eq!(output.status.code(), Some(2), "a run that was not complete is no pass");
    assert!(String::from_utf8_lossy(&output.stderr).contains("the time was up"));
    assert_eq!(std::fs::read_to_string(file("cut.json")).unwrap(), evidence, "the evidence is still there");
    assert!(file("cut.report.json").is_file());
    assert!(
        fails(folder.path(), &["report", "cut.json", "--output", "cut.json"], "").contains("is evidence")
    );
    assert!(fails(folder.path(), &["report", "no.json"], "").contains("no.json"));
    std::fs::write(file("other.json"), "{}").unwrap();
    assert!(fails(folder.path(), &["report", "other.json"], "").contains("--format json"));
}

#[test]
fn what_leaked_is_run_again_with_what_it_was_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let says = |outcome: Outcome, replay: &str, more: &[&str]| {
        let verdict = Verdict {
            probe: "foreign-ids".to_owned(),
            technique: "DA-01".to_owned(),
            name: "another tenant's ids".to_owned(),
            layer: Layer::Data,
            verdict: outcome,
            severity: Severity::High,
            reason: "because".to_owned(),
            evidence: Vec::new(),
            replay: replay.to_owned(),
        };
        let stats = VerdictStats::default();
        let run = Verdicts::new("1", DEAD.to_owned(), Vec::new(), vec![verdict], stats, Vec::new());
        std::fs::write(&path, serde_json::to_string(&run).unwrap()).unwrap();
        let tenants = ["probe", DEAD, "--tenant", "a=b", "--tenant", "c=d", "--replay", "run.json"];
        fails(folder.path(), &[&tenants[..], more].concat(), "")
    };
    assert!(
        says(Outcome::Isolated, "partywall probe --seed-run 7", &[]).contains("nothing leaked in run.json")
    );
    assert!(says(Outcome::Leaked, "partywall probe", &[]).contains("--seed-run"));
    let wrote = "partywall probe --allow-writes --probe DA-01 --seed-run 7";
    assert!(says(Outcome::Leaked, wrote, &[]).contains("give it again"));
    assert!(says(Outcome::Leaked, wrote, &["--allow-writes"]).contains("Connection refused"));
    assert!(says(Outcome::Leaked, wrote, &["--allow-writes", "--quick"]).contains("cannot be used with"));
}

/// The script of the step of an action that has this name.
fn script(action: &str, step: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(action);
    let text = std::fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once(&format!("- name: {step}\n")).unwrap();
    let (_, rest) = rest.split_once("      run: |\n").unwrap();
    let lines = rest.lines().take_while(|line| line.is_empty() || line.starts_with("        "));
    lines.map(|line| format!("{}\n", line.trim_start_matches("        "))).collect()
}

/// The action's own script, as a runner starts it.
#[test]
fn the_action_probes_a_server_that_was_started_and_says_what_it_found() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let mut demo = Running::start(here, &["demo", "--port", "0", "--json", "--dir", "d"]);
    let ready: Value = serde_json::from_str(&demo.line()).unwrap();
    std::fs::create_dir_all(here.join("partywall/bin")).unwrap();
    let program = here.join("partywall/bin/partywall");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_partywall"), program).unwrap();
    let action = script("integrations/probe/action.yml", "Probe");
    let run = |url: &str| {
        let (output, summary) = (here.join("output"), here.join("summary"));
        let _before = (std::fs::remove_file(&output), std::fs::remove_file(&summary));
        let mut command = std::process::Command::new("bash");
        command.args(["-e", "-o", "pipefail", "-c", &action]).env("NO_COLOR", "1");
        command.env("RUNNER_TEMP", here).env("GITHUB_OUTPUT", &output).env("GITHUB_STEP_SUMMARY", &summary);
        command.env("PROBE_URL", url).env("PROBE_TENANTS", "acme=env:ACME\nglobex=env:GLOBEX\n");
        command.env("ACME", ready["tokens"]["acme"].as_str().unwrap());
        command.env("GLOBEX", ready["tokens"]["globex"].as_str().unwrap());
        command.env("PROBE_SEEDS", "").env("PROBE_QUICK", "true").env("PROBE_WRITES", "false");
        let done = command.env("PROBE_WAIT", "0").output().unwrap();
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        (done.status.code(), read(&output), read(&summary), String::from_utf8(done.stderr).unwrap())
    };
    let (status, output, summary, errors) = run(ready["url"].as_str().unwrap());
    assert_eq!(status, Some(0), "{errors}");
    assert!(output.contains("status=0\n") && summary.contains("isolated"), "{output}{summary}");
    let json = std::fs::read_to_string(here.join("partywall-probe.json")).unwrap();
    let verdicts: Verdicts = serde_json::from_str(&json).unwrap();
    assert!(verdicts.summary.leaked == 0 && verdicts.verdicts.len() > 10, "{:?}", verdicts.summary);
    let sarif = std::fs::read_to_string(here.join("partywall-probe.sarif")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&sarif).unwrap()["version"], "2.1.0");
    let (status, _, _, errors) = run(DEAD);
    assert_eq!(status, Some(2));
    assert!(errors.contains("nothing listens at"), "{errors}");
}

/// A run that is asked to end says what it had; so does one whose time was up. Neither is a pass.
#[test]
fn a_run_that_was_stopped_or_late_prints_what_it_had_and_is_no_pass() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let mut demo = Running::start(here, &["demo", "--port", "0", "--json", "--dir", "d"]);
    let ready: Value = serde_json::from_str(&demo.line()).unwrap();
    let token = |tenant: &str| format!("{tenant}={}", ready["tokens"][tenant].as_str().unwrap());
    let (acme, globex) = (token("acme"), token("globex"));
    let tenants =
        ["probe", ready["url"].as_str().unwrap(), "--tenant", &acme, "--tenant", &globex, "--format", "json"];
    let late = run(here, &[&tenants[..], &["--duration", "4s"]].concat(), "");
    let errors = String::from_utf8_lossy(&late.stderr);
    assert_eq!(late.status.code(), Some(2), "{errors}");
    assert!(errors.contains("which is no pass: the time was up"), "{errors}");
    let verdicts: Verdicts = serde_json::from_slice(&late.stdout).unwrap();
    assert!(!verdicts.incomplete.is_empty() && verdicts.summary.leaked == 0, "{:?}", verdicts.summary);

    let mut command = partywall(&tenants);
    let output = std::process::Stdio::piped;
    let child = command.current_dir(here).stdout(output()).stderr(output()).spawn().unwrap();
    // The survey is over by then, and the run is not by far.
    std::thread::sleep(std::time::Duration::from_secs(8));
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(2), "{}", String::from_utf8_lossy(&done.stderr));
    let verdicts: Verdicts = serde_json::from_slice(&done.stdout).unwrap();
    assert!(
        verdicts.notes.iter().any(|note| note.contains("stopped before its end")),
        "{:?}",
        verdicts.notes
    );
}
