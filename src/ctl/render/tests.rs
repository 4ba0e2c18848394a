//! Views against the text and the JSON that they become.

use serde_json::{Value, json};

use super::*;
use crate::ctl::views::{BandwidthView, NetworkView, PowerView, Verdict};
#[cfg(feature = "tools")]
use crate::ctl::views::{BentView, FateView, QueueView};
use crate::ctl::wire::Dictionary;

const NOW: u64 = 1_777_636_800_000_000; // 2026-05-01T12:00:00Z
const ID: &str = "0196ab3c-1111-7000-8000-000000000001";

fn now() -> WallTime {
    WallTime::from_micros(NOW)
}

fn ago(seconds: u64) -> u64 {
    NOW - seconds * 1_000_000
}

/// What a printing writes to standard output.
fn printed(form: Form, print: impl FnOnce(&mut Printer<'_>) -> Result<(), Failure>) -> String {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    print(&mut Printer::to(&mut out, &mut err, form, now)).unwrap();
    assert_eq!(String::from_utf8(err).unwrap(), "");
    String::from_utf8(out).unwrap()
}

fn task(state: &str) -> TaskView {
    TaskView::of(json!({
        "id": ID, "strategy": "metadata", "state": state, "owner": 1000, "app": "notes", "created": ago(12),
        "due": ago(12), "next": 0, "finished": 0, "attempts": 0, "reasons": ["offline"], "error": "", "size": 17,
        "done": 0, "key": "note-7", "tags": ["a", "b"], "after": [], "expires": 0
    }))
}

fn done() -> TaskView {
    let result = json!({"status": 200, "duplicate": false}).as_object().cloned();
    TaskView { finished: Some(ago(2)), reasons: Vec::new(), result, ..task("done") }
}

fn failed() -> TaskView {
    let error = Some("rejected: \u{1b}[31mno such note".to_owned());
    TaskView { finished: Some(ago(2)), reasons: Vec::new(), attempts: 3, key: None, error, ..task("failed") }
}

fn status() -> StatusView {
    let manager = json!({"Version": "0.1.0", "State": "waiting", "Paused": false, "Blocked": ["offline"],
        "NextWake": ["task-due", NOW + 3_000_000], "Transfers": 0});
    let network = json!({"Connected": false, "Type": "none", "Interface": "", "Connectivity": "none", "Metered": "unknown",
        "Ssid": "", "Strength": 0, "Frequency": 0, "Subnet": ""});
    let strategy = |name: &str, priority: u32, pending: u32, blocked: Value, next: u64, budget: u64| {
        json!({"org.ferryd.Ferry1.Strategy": {"Name": name, "Priority": priority, "Pending": pending, "Running": 0,
            "Failed": 1, "Blocked": blocked, "NextAttempt": next, "Paused": false,
            "BudgetUsed": budget / 100, "BudgetLimit": budget}})
    };
    let objects = json!({
        "/org/ferryd/Ferry1/strategies/photo": strategy("photo", 2, 0, json!([]), 0, 104_857_600),
        "/org/ferryd/Ferry1/strategies/metadata": strategy("metadata", 1, 40, json!(["offline", "backoff"]), NOW + 3_000_000, 0),
        "/org/ferryd/Ferry1": {"org.ferryd.Ferry1.Manager": {}}
    });
    let power = json!({"ExternalPower": false, "Charging": false, "BatteryPresent": true, "BatteryPercent": 34.4,
        "PowerSave": true});
    let [manager, network, power, objects] = [manager, network, power, objects].map(Dictionary::of);
    let bandwidth = json!({"UploadSpeed": 4.52, "DownloadSpeed": 0.0, "Latency": 21.3, "Reliability": 0.987,
        "UploadStrategy": "balanced", "MeasuredAt": ago(30)});
    StatusView::of(&manager, &network, &power, &Dictionary::of(bandwidth), &objects)
}

fn explanation() -> ExplainView {
    let rows = json!([
        ["offline", ago(12), "the device gets a route to the server", {"backend": "main", "interface": ""}],
        ["backoff", 0, "its wait is over, in 30 s", {"attempts": "1", "until": (NOW + 30_000_000).to_string()}],
        ["history", ago(60), "", {"event": "retry", "detail": "503 Service Unavailable"}]
    ]);
    ExplainView::of(&task("pending"), &rows, true)
}

fn unfit() -> CheckView {
    let words = "/var/lib/ferryd has mode 0755: it is open to others than ferryd".to_owned();
    let mend = Some("sudo chmod 0700 /var/lib/ferryd".to_owned());
    CheckView { check: "state", verdict: Verdict::Problem, words, mend }
}

/// A view of every shape as JSON, to be found in the reference.
fn bandwidth() -> WatchView {
    let bandwidth = BandwidthView { measured: Some(NOW), ..status().bandwidth };
    WatchView::Bandwidth { at: NOW, speeds: vec![2.1, 4.52], bandwidth }
}

pub(in crate::ctl) fn samples() -> Vec<(&'static str, Value)> {
    let detail =
        json!({"from": "running", "at": NOW, "attempts": 1, "error": ""}).as_object().cloned().unwrap_or_default();
    let properties = json!({"Pending": 39}).as_object().cloned().unwrap_or_default();
    let id = || ID.to_owned();
    let file = || "photos/7.jpg".to_owned();
    let document = |form: String| serde_json::from_str(&form).unwrap();
    let json = |print: &dyn Fn(&mut Printer<'_>) -> Result<(), Failure>| document(printed(Form::Json, print));
    let watched = |view: WatchView| document(printed(Form::Json, |printer| printer.watch(&view)));
    vec![
        ("status", json(&|printer| printer.status(&status()))),
        ("list", json(&|printer| printer.list(&ListView { tasks: vec![task("pending")], more: false }))),
        ("show", json(&|printer| printer.task(&done()))),
        ("explain", json(&|printer| printer.explain(&explanation()))),
        ("cancel", json(&|printer| printer.count("cancelled", 2))),
        ("enqueue", json(&|printer| printer.enqueued(&EnqueueView::Acknowledged { line: 1, id: id() }))),
        (
            "refused",
            json(&|printer| printer.enqueued(&EnqueueView::Refused { line: 2, error: "the queue is full".into() })),
        ),
        ("lost", json(&|printer| printer.enqueued(&EnqueueView::Unacknowledged { line: 3, unacknowledged: true }))),
        ("end", json(&|printer| printer.end(&EndView { id: id(), state: "done".into(), error: None, file: None }))),
        ("put", json(&|printer| printer.put(&PutView::Acknowledged { file: file(), id: id() }))),
        (
            "unreadable",
            json(&|printer| printer.put(&PutView::Refused { file: file(), error: "Permission denied".into() })),
        ),
        ("unsure", json(&|printer| printer.put(&PutView::Unacknowledged { file: file(), unacknowledged: true }))),
        (
            "end of a file",
            json(&|printer| printer.end(&EndView { id: id(), state: "done".into(), error: None, file: Some(file()) })),
        ),
        ("doctor", json(&|printer| printer.check(&unfit()))),
        (
            "progress",
            watched(WatchView::Progress {
                at: NOW,
                id: id(),
                done: 131_072,
                total: 421_888,
                rate: 250_000,
                chunk_size: 65_536,
            }),
        ),
        ("daemon", watched(WatchView::Daemon { at: NOW, present: true })),
        (
            "task",
            watched(WatchView::Task { at: NOW, id: id(), strategy: "metadata".into(), state: "done".into(), detail }),
        ),
        (
            "changed",
            watched(WatchView::Changed {
                at: NOW,
                object: "metadata".into(),
                interface: "Strategy".into(),
                properties,
            }),
        ),
        ("bandwidth", watched(bandwidth())),
        ("measure", document(printed(Form::Json, |printer| printer.bandwidth(&status().bandwidth)))),
        ("lagged", watched(WatchView::Lagged { at: NOW, count: 300 })),
    ]
}

/// The same of `bend`.
#[cfg(feature = "tools")]
pub(in crate::ctl) fn bend_samples() -> Vec<(&'static str, Value)> {
    let line = |view| printed(Form::Json, |printer| printer.bend(&view));
    bent().map(|view| ("bend", serde_json::from_str(&line(view)).unwrap())).into()
}

/// Each kind of line that `bend` writes.
#[cfg(feature = "tools")]
fn bent() -> [BendView; 4] {
    let slow = BentView {
        scenario: "slow_3g",
        up: true,
        cut: false,
        portal: false,
        link: "cellular",
        metered: "guess-yes",
        round_trip: 400,
        jitter: 200,
        next: 86_400_000,
        up_rate: 50_000,
        down_rate: 50_000,
        reliability: 0.9,
    };
    let down = BentView {
        up: false,
        link: "none",
        metered: "unknown",
        round_trip: 0,
        jitter: 0,
        up_rate: 0,
        down_rate: 0,
        reliability: 0.0,
        ..slow
    };
    let gone = BentView { scenario: "intermittent", next: 7_250, ..down };
    let cut = BentView { scenario: "wifi", cut: true, ..down };
    let error = "\"0\" is no rate in Mbit/s between 0.001 and 100000".to_owned();
    [
        BendView::Listening { address: "127.0.0.1:8081".into(), to: "127.0.0.1:8080".into(), seed: 7, now: slow },
        BendView::Changed { now: gone },
        BendView::Followed { order: "cut".into(), connections: 2, now: cut },
        BendView::Refused { order: "rate 0 1".into(), error },
    ]
}

#[cfg(feature = "tools")]
#[test]
fn a_bent_network_is_told_a_line_an_event() {
    let text: Vec<_> = bent().iter().map(|view| printed(Form::Text, |printer| printer.bend(view))).collect();
    let expected = [
        "listening on 127.0.0.1:8081, passing on to 127.0.0.1:8080; slow_3g, seed 7\n\
         begins: cellular, metered guess-yes, 400 to 600 ms, 0.4 Mbit/s up, 0.4 down, 90 % come through\n",
        "changed: no link; next change in 8 s\n",
        "cut: no link, cut; 2 connections\n",
        "rate 0 1: \"0\" is no rate in Mbit/s between 0.001 and 100000\n",
    ];
    assert_eq!(text, expected);
}

/// The same of `simulate`.
#[cfg(feature = "tools")]
pub(in crate::ctl) fn simulation_sample() -> (&'static str, Value) {
    let document = printed(Form::Json, |printer| printer.simulation(&simulation()));
    ("simulate", serde_json::from_str(&document).unwrap())
}

#[cfg(feature = "tools")]
fn simulation() -> SimulationView {
    let fate = |name: &str, tasks, lost, median, p99| FateView {
        name: name.to_owned(),
        tasks,
        done: tasks - lost,
        lost,
        median: Some(median),
        p99,
    };
    let ferry = QueueView {
        queue: "ferry",
        strategies: vec![fate("metadata", 2_453, 0, 184, Some(98_000)), fate("photo", 410, 0, 1_250, None)],
        bytes: [("cellular", 81_000), ("wifi", 1_400_000_000)].into(),
        radio_on: 756,
        wakes: [("backend-probe", 61), ("task-due", 128)].into(),
        requests: 2_115,
        peak: 9,
    };
    let fifo = QueueView {
        queue: "fifo",
        strategies: vec![fate("metadata", 2_453, 76, 190, Some(86_000_000)), fate("photo", 410, 3, 1_300, None)],
        wakes: [("task-due", 108)].into(),
        requests: 2_693,
        ..ferry.clone()
    };
    let queues = vec![ferry, fifo];
    SimulationView { scenario: "commute", days: 7, devices: 100, tasks_per_day: 40, seed: 1, queues }
}

#[cfg(feature = "tools")]
#[test]
fn a_simulation_is_two_tables_with_the_queues_below_each_other() {
    let expected = "\
commute: 100 devices, 7 days, 40 tasks a day, seed 1

strategy  queue  tasks  done  lost  median          p99
metadata  ferry   2453  2453     0  0.18 s         98 s
metadata  fifo    2453  2377    76  0.19 s  23 h 53 min
photo     ferry    410   410     0  1.25 s            -
photo     fifo     410   407     3  1.30 s            -

queue    wifi  cellular  radio on  wakes  requests  peak a second
ferry  1.4 GB   81.0 kB    12 min    189      2115              9
fifo   1.4 GB   81.0 kB    12 min    108      2693              9
";
    assert_eq!(printed(Form::Text, |printer| printer.simulation(&simulation())), expected);
}

#[cfg(feature = "tools")]
#[test]
fn a_plot_is_well_formed_and_has_a_curve_for_each_strategy_and_queue() {
    use crate::sim::{Fleet, Queue, Scenario, config};
    let config = config().unwrap().into();
    let fleet = Fleet { scenario: Scenario::Wifi, days: 1, devices: 3, tasks_per_day: 50.0, config, seed: 1 };
    let queues = [("ferry", fleet.simulate(Queue::Ferry)), ("fifo", fleet.simulate(Queue::Fifo))];
    let svg = plot::svg("a title", &queues);
    let document = roxmltree::Document::parse(&svg).unwrap();
    let curves = document.descendants().filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "polyline")));
    for curve in curves.clone() {
        let points: Vec<f64> =
            curve.attribute("points").unwrap().split([' ', ',']).map(|x| x.parse().unwrap()).collect();
        assert!(points.iter().all(|x| (0.0..1_000.0).contains(x)) && points.len() > 8, "{points:?}");
    }
    assert_eq!(curves.count(), 3 * 2);
}

#[test]
fn the_status_reads_calmly() {
    let expected = "\
ferryd 0.1.0: waiting, offline
  network    no route
  power      on battery at 34 %, saving power
  bandwidth  4.52 Mbit/s up, 21.3 ms, reliability 0.987: balanced
  budget     photo: 1.0 MB of 104.8 MB today over metered links
  next wake  task-due in 3 s

STRATEGY  PRIORITY  PENDING  RUNNING  FAILED  NEXT    WAITS FOR
metadata         1       40        0       1  in 3 s  offline, backoff
photo            2        0        0       1
";
    let text = printed(Form::Text, |printer| printer.status(&status()));
    assert_eq!(text, expected);
    let paused = StatusView { state: "paused".into(), blocked: vec!["paused".into(), "offline".into()], ..status() };
    let text = printed(Form::Text, |printer| printer.status(&paused));
    assert!(text.starts_with("ferryd 0.1.0: paused, offline\n"), "{text}");
}

#[test]
fn networks_are_named_as_people_do() {
    let network = |properties: Value| super::status::network(&NetworkView::of(&Dictionary::of(properties)));
    let wifi = json!({"Connected": true, "Type": "wifi", "Interface": "wlan0", "Ssid": "home", "Metered": "guess-no",
        "Strength": 72, "Frequency": 2437, "Subnet": "192.0.2.7/24"});
    assert_eq!(network(wifi), "wifi on wlan0 (home), 72 % at 2437 MHz, 192.0.2.7/24, probably not metered");
    let modem = json!({"Connected": true, "Type": "cellular", "Interface": "wwan0", "Metered": "yes"});
    assert_eq!(network(modem), "cellular on wwan0, metered");
    assert_eq!(network(json!({"Connected": false, "Type": "none"})), "no route");
}

#[test]
fn power_is_told_in_one_breath() {
    let power = |external, charging, battery_percent, power_save| {
        super::status::power(&PowerView { external, charging, battery_percent, power_save })
    };
    assert_eq!(power(true, false, None, false), "external, no battery");
    assert_eq!(power(true, true, Some(34.4), false), "external, charging at 34 %");
    assert_eq!(power(true, false, Some(80.0), true), "external, battery at 80 %, saving power");
    assert_eq!(power(false, false, Some(9.6), true), "on battery at 10 %, saving power");
}

#[test]
fn the_whole_world_stands_on_one_screen() {
    let network =
        json!({"Connected": true, "Type": "wifi", "Interface": "wlan0", "Metered": "yes", "Connectivity": "portal"});
    let online = StatusView { network: NetworkView::of(&Dictionary::of(network)), ..status() };
    let text = printed(Form::Text, |printer| printer.status(&online));
    assert!(
        text.contains("\n  network    wifi on wlan0, metered\n  internet   behind a captive portal\n  power "),
        "{text}"
    );
}

#[test]
fn every_reason_is_said_in_words() {
    for reason in crate::model::Reason::ALL {
        let bare = super::because::because(*reason, &serde_json::Map::new());
        assert!(bare.len() > 8 && !bare.contains("  "), "{reason}: {bare:?}");
    }
    let detail = json!({"type": "cellular", "interface": "wwan0"}).as_object().cloned().unwrap();
    assert_eq!(super::because::because(crate::model::Reason::Metered, &detail), "cellular on wwan0 is metered");
    let detail = json!({"battery_percent": "12", "min_battery": "30"}).as_object().cloned().unwrap();
    let low = super::because::because(crate::model::Reason::LowBattery, &detail);
    assert_eq!(low, "the battery is at 12 %, and 30 % are asked for");
}

#[test]
fn a_list_lines_up_and_drives_no_terminal() {
    let view = ListView { tasks: vec![task("pending"), failed()], more: true };
    let expected = format!(
        "\
ID                                    STATE    STRATEGY  CREATED   TRIES  KEY     NOTE
{ID}  pending  metadata  12 s ago      0  note-7  offline
{ID}  failed   metadata  12 s ago      3          rejected: \\u{{1b}}[31mno such note
… and more: --limit 0 lists all
"
    );
    assert_eq!(printed(Form::Text, |printer| printer.list(&view)), expected);
    let none = ListView { tasks: Vec::new(), more: false };
    assert_eq!(printed(Form::Text, |printer| printer.list(&none)), "no tasks\n");
}

#[test]
fn a_task_is_shown_line_by_line_without_what_is_empty() {
    let expected = format!(
        "\
id         {ID}
state      done
strategy   metadata
owner      1000
app        notes
key        note-7
tags       a, b
size       17 bytes
attempts   0
created    2026-05-01T11:59:48Z (12 s ago)
finished   2026-05-01T11:59:58Z (2 s ago)
result     duplicate false
result     status 200
"
    );
    assert_eq!(printed(Form::Text, |printer| printer.task(&done())), expected);
}

#[test]
fn an_explanation_is_a_sentence_a_reason() {
    let expected = format!(
        "\
{ID} is pending and waits:
  offline: the device has no route to server main, for 12 s now; that ends when the device gets a route to the server
    backend main
  backoff: attempt 1 did not succeed; that ends when its wait is over, in 30 s
    attempts 1, until 2026-05-01T12:00:30Z
history:
  2026-05-01T11:59:00Z  retry  503 Service Unavailable
"
    );
    assert_eq!(printed(Form::Text, |printer| printer.explain(&explanation())), expected);
    let free = ExplainView { reasons: Vec::new(), history: None, ..explanation() };
    let text = printed(Form::Text, |printer| printer.explain(&free));
    assert_eq!(text, format!("{ID} is pending; nothing holds it back\n"));
}

#[test]
fn watching_writes_a_line_for_each_change() {
    let at = NOW;
    let line = |view: WatchView| printed(Form::Text, |printer| printer.watch(&view));
    let detail = json!({"error": "rejected: no"}).as_object().cloned().unwrap();
    let moved = WatchView::Task { at, id: "a".into(), strategy: "photo".into(), state: "failed".into(), detail };
    assert_eq!(line(moved), "2026-05-01T12:00:00Z  a  photo  failed  rejected: no\n");
    let properties = json!({"Blocked": [], "Pending": 38, "State": "waiting"}).as_object().cloned().unwrap();
    let changed = WatchView::Changed { at, object: "photo".into(), interface: "Strategy".into(), properties };
    assert_eq!(line(changed), "2026-05-01T12:00:00Z  photo: blocked none, pending 38, state waiting\n");
    let said = "▄█ 4.52 Mbit/s up, 21.3 ms, reliability 0.987: balanced";
    assert_eq!(line(bandwidth()), format!("2026-05-01T12:00:00Z  bandwidth: {said}\n"));
    assert_eq!(super::watch::sparkline(&[0.0, 1.0, 7.0]), "▁▂█");
    assert_eq!(line(WatchView::Lagged { at, count: 3 }), "2026-05-01T12:00:00Z  lagged: 3 signals were dropped\n");
    let gone = line(WatchView::Daemon { at, present: false });
    assert_eq!(gone, "2026-05-01T12:00:00Z  ferryd is gone; waiting for it\n");
}

#[test]
fn uploads_are_shown_with_how_far_they_are() {
    let view = WatchView::Progress { at: NOW, id: "a".into(), done: 5_250, total: 1_000_000, rate: 999, chunk_size: 1 };
    let line = printed(Form::Text, |printer| printer.watch(&view));
    assert_eq!(line, "2026-05-01T12:00:00Z  a  5.2 kB of 1.0 MB at 999 bytes/s\n");
    let running = TaskView { done: 500, size: 2_000, rate: Some(100), chunk_size: Some(64), ..task("running") };
    let shown = printed(Form::Text, |printer| printer.task(&running));
    assert!(shown.contains("\ndone       500 bytes of 2.0 kB at 100 bytes/s\nchunk      64 bytes\n"), "{shown}");
    let listed = printed(Form::Text, |printer| printer.list(&ListView { tasks: vec![running], more: false }));
    assert!(listed.ends_with("note-7  offline, 500 bytes of 2.0 kB at 100 bytes/s\n"), "{listed}");
}

#[test]
fn bars_are_drawn_in_place_and_only_on_a_terminal() {
    let mut bars = Bars::default();
    bars.add("a", "photos/a.jpg", 2_000);
    bars.add("b", "photos/b.jpg", 3_000);
    bars.heard("a", 500, 2_000, 100);
    assert_eq!(printed(Form::Text, |printer| printer.bars(&bars)), "");
    let on_terminal = printed(Form::Text, |printer| {
        printer.terminal = true;
        printer.bars(&bars)?;
        let file = bars.ended("a");
        printer.end(&EndView { id: "a".into(), state: "done".into(), error: None, file })?;
        bars.ended("b");
        printer.bars(&bars)
    });
    let expected = "\
a.jpg                           [#####...............]   25 %  100 bytes/s
0 of 2 files, 500 bytes of 5.0 kB
\x1b[2F\x1b[Ja done photos/a.jpg
";
    assert_eq!(on_terminal, expected);
}

#[test]
fn colours_are_laid_on_after_the_columns_are_drawn() {
    let view = ListView { tasks: vec![failed()], more: false };
    let coloured = super::tasks::list(&view, now(), Palette::Colours);
    assert!(coloured.contains("\x1b[31mfailed\x1b[0m  metadata"), "{coloured:?}");
    let plain = super::tasks::list(&view, now(), Palette::Plain);
    assert!(!plain.contains('\x1b'), "{plain:?}");
    let uncoloured = ["\x1b[1m", "\x1b[31m", "\x1b[0m"].iter().fold(coloured, |text, code| text.replace(code, ""));
    assert_eq!(uncoloured, plain);
}

#[test]
fn refused_lines_are_told_on_standard_error_and_in_json_on_standard_output() {
    let view = EnqueueView::Refused { line: 7, error: "the queue is full".to_owned() };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    Printer::to(&mut out, &mut err, Form::Text, now).enqueued(&view).unwrap();
    assert_eq!((out.as_slice(), err.as_slice()), (&b""[..], &b"ferryctl: line 7: the queue is full\n"[..]));
    let json = printed(Form::Json, |printer| printer.enqueued(&view));
    assert_eq!(json, "{\"line\":7,\"error\":\"the queue is full\"}\n");
}

#[test]
fn a_finding_is_a_line_and_how_to_mend_it_another() {
    let text = "problem  state       /var/lib/ferryd has mode 0755: it is open to others than ferryd\n                     \
                mend: sudo chmod 0700 /var/lib/ferryd\n";
    assert_eq!(printed(Form::Text, |printer| printer.check(&unfit())), text);
    let fit = CheckView { check: "clock", verdict: Verdict::Ok, words: "set".to_owned(), mend: None };
    assert_eq!(printed(Form::Text, |printer| printer.check(&fit)), "ok       clock       set\n");
    assert!(doctor::text(&fit, Palette::Colours).starts_with("\u{1b}[32mok     \u{1b}[0m  clock"));
}

#[test]
fn a_reader_that_has_gone_ends_it_quietly() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut err = Vec::new();
    let mut printer = Printer {
        out: Box::new(Closed),
        err: Box::new(&mut err),
        form: Form::Text,
        palette: Palette::Plain,
        now,
        terminal: false,
        drawn: 0,
    };
    let failure = printer.count("cancelled", 1).unwrap_err();
    assert_eq!((failure.clone(), printer.fail(failure)), (Failure::Unread, Exit::Ok));
    drop(printer);
    assert_eq!(err, b"");
}
