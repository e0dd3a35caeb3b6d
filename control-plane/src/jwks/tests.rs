//! The task against scripted sources.

use std::collections::VecDeque;

use super::*;

const A: &str = "http://a.example.com/keys";
const B: &str = "http://b.example.com/keys";
const K1: &str = r#"{"keys":[{"kid":"1"}]}"#;
const K2: &str = r#"{"keys":[{"kid":"2"}]}"#;

fn uri(text: &str) -> KeySource {
    KeySource::Uri(text.into())
}

fn wants(uris: &[&str]) -> Arc<RequestAuthentications> {
    let wanted = uris.iter().map(|u| (uri(u), Duration::from_secs(5)));
    let mut all = RequestAuthentications::default();
    all.wanted = wanted.collect();
    Arc::new(all)
}

/// `a=text`, `a!problem`, `a=text!problem`; `a-` for what was forgotten.
fn shown(changes: &[(ObjectKey, Option<Object>)]) -> Vec<String> {
    let show = |(key, object): &(ObjectKey, Option<Object>)| {
        let host = key.name.trim_start_matches("http://");
        let host = host.split('.').next().unwrap_or_default();
        match object {
            Some(Object::Jwks(_, found)) => {
                let keys = found.keys.as_ref().map(|keys| format!("={keys}"));
                let problem = Some(&found.problem).filter(|p| !p.is_empty());
                let problem = problem.map(|problem| format!("!{problem}"));
                format!(
                    "{host}{}{}",
                    keys.unwrap_or_default(),
                    problem.unwrap_or_default()
                )
            }
            _ => format!("{host}-"),
        }
    };
    changes.iter().map(show).collect()
}

/// What a source answers, one after the other; the last answer stays. Without any, requests hang until their timeout.
type Script = VecDeque<Result<String, String>>;

/// The schedule of the task, on a clock that goes only as it is asked to.
struct Running {
    known: Known,
    now: Instant,
    world: Arc<RequestAuthentications>,
    scripts: BTreeMap<KeySource, Script>,
    /// When each source was asked.
    asked: Vec<(KeySource, Instant)>,
    /// Requests that hang, and until when.
    hanging: Vec<(KeySource, Instant)>,
}

impl Running {
    fn start(wanted: &[&str]) -> Self {
        Self {
            known: Known::default(),
            now: Instant::now(),
            world: wants(wanted),
            scripts: BTreeMap::new(),
            asked: Vec::new(),
            hanging: Vec::new(),
        }
    }

    fn wants(&mut self, wanted: &[&str]) {
        self.world = wants(wanted);
    }

    fn set(&mut self, source: &str, answers: &[Result<&str, &str>]) {
        let answers = answers
            .iter()
            .map(|a| a.map(str::to_owned).map_err(str::to_owned));
        self.scripts.insert(uri(source), answers.collect());
    }

    fn answer(&mut self, source: &KeySource) -> Option<Result<String, String>> {
        self.asked.push((source.clone(), self.now));
        let script = self.scripts.get_mut(source)?;
        if script.len() > 1 {
            script.pop_front()
        } else {
            script.front().cloned()
        }
    }

    /// Goes on until there is something to tell.
    fn next(&mut self) -> Vec<String> {
        let refresh = Settings::default().refresh;
        for _ in 0..1_000_000 {
            self.known.look(&self.world, self.now);
            for (source, timeout) in self.known.due(self.now, AT_ONCE) {
                match self.answer(&source) {
                    Some(answer) => self.known.done(&source, answer, self.now, refresh),
                    None => self.hanging.push((source, self.now + timeout)),
                }
            }
            let now = self.now;
            for (source, _) in self.hanging.extract_if(.., |(_, until)| *until <= now) {
                let answer = Err("no answer".to_owned());
                self.known.done(&source, answer, now, refresh);
            }
            let changes = self.known.news();
            if !changes.is_empty() {
                return shown(&changes);
            }
            self.now += LOOK;
        }
        panic!("nothing is told");
    }

    /// Seconds between the requests for a source.
    fn gaps(&self, source: &str) -> Vec<u64> {
        let of_source = self.asked.iter().filter(|(s, _)| *s == uri(source));
        let times: Vec<Instant> = of_source.map(|(_, at)| *at).collect();
        let pairs = times.windows(2);
        pairs.map(|pair| (pair[1] - pair[0]).as_secs()).collect()
    }
}

#[test]
fn keys_are_fetched_and_again_when_their_time_is_over_and_told_when_they_change() {
    let mut running = Running::start(&[]);
    let other_order = r#"{ "keys": [{"kid": "1"}] }"#;
    running.set(A, &[Ok(K1), Ok(K1), Ok(other_order), Ok(K2)]);
    running.wants(&[A]);
    let start = running.now;
    assert_eq!(running.next(), [format!("a={K1}")]);
    assert!(running.now - start <= 2 * LOOK);
    assert_eq!(running.next(), [format!("a={K2}")]);
    assert_eq!(running.gaps(A), [1200, 1200, 1200]);
}

#[test]
fn what_was_never_fetched_is_tried_each_second_and_then_each_minute() {
    let mut running = Running::start(&[A]);
    let mut answers = vec![Err("down"); 11];
    answers.push(Ok(K1));
    running.set(A, &answers);
    assert_eq!(running.next(), ["a!down"]);
    assert_eq!(running.next(), [format!("a={K1}")]);
    let gaps = running.gaps(A);
    assert_eq!(gaps, [1, 1, 1, 1, 1, 1, 1, 60, 60, 60, 60]);
}

#[test]
fn the_keys_of_before_stay_while_an_issuer_fails_but_not_for_ever() {
    let mut running = Running::start(&[A]);
    running.set(A, &[Ok(K1), Err("gone")]);
    assert_eq!(running.next(), [format!("a={K1}")]);
    assert_eq!(running.next(), [format!("a={K1}!gone")]);
    let since = running.now;
    assert_eq!(running.next(), ["a!gone"], "after a week");
    assert!(running.now - since >= USABLE - Duration::from_secs(1200));
    let gaps = running.gaps(A);
    let first = [
        1200, 1, 1, 1, 1, 1, 1, 1, 60, 120, 240, 480, 960, 1920, 3600,
    ];
    assert_eq!(gaps[..first.len()], first);
    running.set(A, &[Ok(K2)]);
    assert_eq!(running.next(), [format!("a={K2}")]);
}

#[test]
fn an_issuer_that_hangs_holds_up_no_other() {
    let mut running = Running::start(&[]);
    running.set(B, &[Ok(K1)]);
    running.wants(&[A, B]);
    let start = running.now;
    assert_eq!(running.next(), [format!("b={K1}")]);
    assert!(running.now - start <= 2 * LOOK);
    assert_eq!(running.next(), ["a!no answer"]);
}

#[test]
fn no_document_but_a_key_set_is_handed_on() {
    let mut running = Running::start(&[A]);
    running.set(A, &[Ok("<html>secret</html>"), Ok(K1)]);
    let [only] = &running.next()[..] else {
        panic!("one fact");
    };
    assert!(only.starts_with("a!the answer is no key set"), "{only}");
    assert!(!only.contains("secret"), "{only}");
    assert_eq!(running.next(), [format!("a={K1}")]);
}

#[test]
fn who_asks_is_answered_at_once_and_again() {
    let mut running = Running::start(&[]);
    running.set(A, &[Ok(K1)]);
    for _ in 0..2 {
        let timeout = Duration::from_secs(5);
        running.known.ask(uri(A), timeout, running.now);
        assert_eq!(running.next(), [format!("a={K1}")]);
    }
    assert!(running.gaps(A).is_empty(), "fetched once");
}

#[test]
fn what_nobody_wants_is_forgotten_after_a_while() {
    let mut running = Running::start(&[A]);
    running.set(A, &[Ok(K1)]);
    assert_eq!(running.next(), [format!("a={K1}")]);
    running.wants(&[]);
    let start = running.now;
    assert_eq!(running.next(), ["a-"]);
    assert!(running.now - start >= FORGOTTEN);
    running.wants(&[A]);
    assert_eq!(running.next(), [format!("a={K1}")]);
}

#[tokio::test]
async fn the_task_waits_for_no_request() {
    let (asks, asked) = mpsc::channel(8);
    let (out, mut facts) = mpsc::channel(16);
    let mut task = JoinSet::new();
    task.spawn(async move {
        let fetch = |source: KeySource, _| async move {
            if source == uri(A) {
                std::future::pending::<()>().await;
            }
            Ok(K1.to_owned())
        };
        let refresh = Settings::default().refresh;
        follow(|| wants(&[A]), asked, fetch, refresh, out).await;
    });
    for source in [A, B] {
        let ask = (uri(source), Duration::from_secs(5));
        asks.send(ask).await.unwrap();
    }
    let told = facts.recv().await.unwrap();
    assert_eq!(shown(&told.changes), [format!("b={K1}")]);
    drop(asks);
    task.join_next().await.unwrap().unwrap();
}
