//! Tests the item about `api_permissions`.

use super::*;

#[test]
fn a_rule_for_harmless_commands_or_the_console_passes() {
    table(&[
        (|_| (), "api_commands", Passes, "2 rules"),
        (|e| text(e, "hosts: [a]\n"), "api_commands", Fails, "there are no api_permissions"),
        (|e| text(e, "api_permissions: [1]\n"), "api_commands", Unknown, "not understood"),
        // A rule for an address must not allow dangerous commands, because the rule also allows
        // callers that come through a reverse proxy at that address.
        (
            |e| config(e, "      - status\n", "      - status\n      - register\n"),
            "api_commands",
            Fails,
            "lets the callers in its `who` call register, through mod_http_api",
        ),
        (
            |e| permissions(e, "{ who: { ip: 127.0.0.0/8 }, what: register }"),
            "api_commands",
            Fails,
            "call register, through every channel",
        ),
        (
            |e| permissions(e, "{ from: [ejabberd_ctl], who: all, what: \"*\" }"),
            "api_commands",
            Passes,
            "",
        ),
        (
            |e| permissions(e, "{ from: [ejabberd_ctl, {tag: x}], who: all, what: \"*\" }"),
            "api_commands",
            Passes,
            "",
        ),
        (
            |e| permissions(e, "{ from: [ejabberd_ctl, mod_http_api], who: all, what: \"*\" }"),
            "api_commands",
            Fails,
            "lets everybody call everything",
        ),
        (
            |e| permissions(e, "{ from: [{tag: x}], who: admin, what: \"*\" }"),
            "api_commands",
            Fails,
            "the acl `admin`",
        ),
        (|e| permissions(e, "{ who: none, what: \"*\" }"), "api_commands", Passes, ""),
        (|e| permissions(e, "{ what: \"*\" }"), "api_commands", Passes, ""),
        (|e| permissions(e, "{ who: all }"), "api_commands", Passes, ""),
        (
            |e| permissions(e, "{ who: all, what: [\"*\", \"!register\"] }"),
            "api_commands",
            Fails,
            "everything but register",
        ),
        (|e| permissions(e, "{ who: all, what: [\"*\", \"!*\"] }"), "api_commands", Passes, ""),
        (|e| permissions(e, "{ who: all, what: [\"!register\"] }"), "api_commands", Passes, ""),
        (
            |e| permissions(e, "{ who: all, what: [register, \"!register\", stats] }"),
            "api_commands",
            Passes,
            "",
        ),
        (
            |e| permissions(e, "{ who: all, what: \"[tag:accounts]\" }"),
            "api_commands",
            Fails,
            "[tag:accounts]",
        ),
        (
            |e| permissions(e, "{ who: all, what: [\"[tag:statistics]\", status] }"),
            "api_commands",
            Passes,
            "",
        ),
        (
            |e| permissions(e, "{ who: all, what: [get_cookie, a_new_command] }"),
            "api_commands",
            Fails,
            "get_cookie, a_new_command",
        ),
        (
            |e| permissions(e, "{ who: all, what: { a: b } }"),
            "api_commands",
            Unknown,
            "`what` of \"r\" is not understood",
        ),
    ]);
}
