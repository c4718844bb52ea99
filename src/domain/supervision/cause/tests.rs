use super::*;

/// The reason is one word in a term of several lines.
#[test]
fn a_term_over_many_lines_is_read_as_one_entry() {
    let cause = |log: &[&str]| {
        let log = log.iter().map(|line| (*line).to_owned()).collect();
        Cause::of(&Ending { exit_code: Some(1), log, ..Ending::default() }, EndedWhile::Starting)
    };
    let erlang = [
        "2026-11-26 01:37:00.000000+00:00 [critical] Failed to start ejabberd application: {error,",
        "                                       {shutdown,",
        "                                        {failed_to_start_child,a,",
        "                                           eaddrinuse}}}",
    ];
    let elixir = [
        "01:37:00.000 [critical] Failed to start ejabberd application: {:error,",
        " {:shutdown,",
        "  {:failed_to_start_child, :a,",
        "   :eaddrinuse}}}",
    ];
    for log in [&erlang[..], &elixir] {
        let cause = cause(log);
        assert_eq!(cause.reason, EndReason::PortTaken);
        assert!(cause.message.ends_with("eaddrinuse}}}"), "{}", cause.message);
    }
    let unknown = cause(&[&erlang[..3], &["  something_new}}}"]].concat());
    assert_eq!(unknown.reason, EndReason::Crashed);
    assert_eq!(
        unknown.message,
        "it ended with exit code 1; its log says: Failed to start ejabberd application: {error, \
         {shutdown, {failed_to_start_child,a, something_new}}}"
    );
}

#[test]
fn the_first_error_explains_a_failed_start() {
    let log = [
        "2026-11-26 01:00:00.000000+00:00 [info] nothing is wrong: eacces",
        "2026-11-26 01:00:00.000000+00:00 [error] the first",
        "2026-11-26 01:00:00.000000+00:00 [error] the second",
        "2026-11-26 01:00:00.000000+00:00 [info] stopped",
    ];
    let log: Vec<String> = log.map(str::to_owned).into();
    let ending = Ending { exit_code: Some(1), log, ..Ending::default() };
    assert!(Cause::of(&ending, EndedWhile::Starting).message.ends_with(": the first"));
    // The last error explains the end of a server that was up.
    assert!(Cause::of(&ending, EndedWhile::Up).message.ends_with(": the second"));
}

#[test]
fn a_long_entry_is_quoted_around_its_sign() {
    let filler = "word ".repeat(200);
    let line =
        format!("2026-11-26 01:00:00.000000+00:00 [error] {filler} eaddrnotavail and {filler}");
    let ending = Ending { log: vec![line], ..Ending::default() };
    let message = Cause::of(&ending, EndedWhile::Starting).message;
    assert!(message.contains("eaddrnotavail"), "{message}");
    assert!(message.starts_with('…') && message.ends_with('…'), "{message}");
    assert!(message.chars().count() <= MAX_QUOTED + 2, "{message}");
}

#[test]
fn an_entry_begins_with_a_time_or_a_program() {
    let lines = [
        "sed: can't read x: Permission denied",
        "=ERROR REPORT==== 26-Nov-2026::01:35:58.368988 ===",
        "    label: {erl_prim_loader,file_error}",
        "inet_config: file x not found",
        "",
        "2026-11-26 01:34:54.000000+00:00 \u{1b}[1;49;91m[error] \u{1b}[0m<0.118.0>@ejabberd_app:start/2:64 it",
        "",
        "  goes on",
        "** (EXIT) without indentation",
        "19:31:35.123 [warning] (<0.1.0>) of Elixir",
        "2026-11-26 01:36:28.846942 crash_report        ",
        "    pid: <0.64.0>",
        "2026-11-26 01:36:28.846457 ",
        "    label: {error_logger,info_msg}",
        "Kernel pid terminated (application_controller)",
        "/usr/sbin/ejabberdctl: line 134:    19 Killed",
    ];
    let found: Vec<_> =
        entries(&lines).into_iter().map(|entry| (entry.level, entry.text)).collect();
    let expected = [
        (None, "sed: can't read x: Permission denied"),
        (Some(Level::Error), "label: {erl_prim_loader,file_error}\ninet_config: file x not found"),
        (Some(Level::Error), "it\n  goes on\n** (EXIT) without indentation"),
        (Some(Level::Warning), "of Elixir"),
        (Some(Level::Error), "crash_report\n    pid: <0.64.0>"),
        (Some(Level::Warning), "label: {error_logger,info_msg}"),
        (Some(Level::Error), "Kernel pid terminated (application_controller)"),
        (None, "/usr/sbin/ejabberdctl: line 134:    19 Killed"),
    ];
    assert_eq!(found, expected.map(|(level, text)| (level, text.to_owned())));
}
