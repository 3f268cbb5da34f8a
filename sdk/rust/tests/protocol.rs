//! The frame and the verdicts, byte by byte.

use std::panic::{catch_unwind, AssertUnwindSafe};
use varve_sdk::testing::{record, TestFrame, TestRecord};
use varve_sdk::{rt, Context, Headers, Record, Refusal, Verdict};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16).map(|d| d as u8))
        .collect();
    digits.chunks(2).map(|d| d[0] << 4 | d[1]).collect()
}

fn run(frame: &mut [u8], hook: impl FnMut(&Context, &Record) -> Verdict) -> (bool, Vec<u8>) {
    let mut out = Vec::new();
    let whole = rt::run(frame, &mut out, hook);
    (whole, out)
}

fn word(frame: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(frame[at..at + 4].try_into().unwrap())
}

/// A frame as SPEC.md describes it, written down by hand.
const FRAME: &str = "
    40000000 20000000 02000000 0f000000
    f2a5e1b08d010000 efcdab8967452301 0700000000000000 03000000 06000000
    00000000 00000000 00000000 00000000
    6f7264657273 0000
    38000000 05000000 0807060504030201 01000000 03000000 02000000 14000000
    6b 766976 01000000 01000000 61 31 02000000 ffffffff 6e6f
    20000000 09000000 ffffffffffffffff ffffffff ffffffff 00000000 00000000";

fn frame() -> TestFrame {
    let first = record()
        .index(5)
        .timestamp(0x0102030405060708)
        .key("k")
        .value("viv")
        .header("a", "1")
        .null_header("no");
    let mut frame = TestFrame::new("orders")
        .record(first)
        .record(record().index(9).timestamp(-1));
    frame.append_time = 0x018d_b0e1_a5f2;
    frame.seed = 0x0123456789abcdef;
    frame.generation = 7;
    frame.partition = 3;
    frame
}

#[test]
fn frames_are_written_as_specified() {
    assert_eq!(frame().encode(), hex(FRAME));
}

#[test]
fn everything_is_read() {
    for (more_header, more_fixed) in [(0, 0), (8, 0), (0, 16), (24, 8)] {
        let mut frame = frame();
        frame.more_header = more_header;
        frame.more_fixed = more_fixed;
        let mut seen = 0;
        let (whole, out) = run(&mut frame.encode(), |context, r| {
            assert_eq!(context.topic(), "orders");
            assert_eq!(context.partition(), 3);
            assert_eq!(context.append_time(), 0x018d_b0e1_a5f2);
            assert_eq!(context.seed(), 0x0123456789abcdef);
            assert_eq!(context.generation(), 7);
            seen += 1;
            if r.index() == 9 {
                assert_eq!((r.key(), r.value(), r.timestamp()), (None, None, Some(-1)));
                assert_eq!(r.headers().count(), 0);
                return Verdict::drop();
            }
            assert_eq!((r.index(), r.timestamp()), (5, Some(0x0102030405060708)));
            assert_eq!((r.key(), r.value()), (Some(&b"k"[..]), Some(&b"viv"[..])));
            let headers: Vec<_> = r.headers().map(|h| (h.name, h.value)).collect();
            assert_eq!(headers, [(&b"a"[..], Some(&b"1"[..])), (&b"no"[..], None)]);
            assert_eq!(r.header("a").unwrap().value, Some(&b"1"[..]));
            assert_eq!(r.header("no").unwrap().value, None);
            assert_eq!(r.header("gone"), None);
            Verdict::keep()
        });
        assert_eq!((whole, seen, out), (true, 2, vec![0, 1]));
    }
}

#[test]
fn empty_and_null_differ() {
    let mut bytes = TestFrame::new("")
        .record(record().key("").value(""))
        .encode();
    run(&mut bytes, |context, r| {
        assert_eq!(context.topic(), "");
        assert_eq!((r.key(), r.value()), (Some(&b""[..]), Some(&b""[..])));
        Verdict::keep()
    });
}

#[test]
fn parts_that_are_not_framed_are_none() {
    let mut frame = frame();
    frame.parts = 0;
    run(&mut frame.encode(), |_, r| {
        assert_eq!((r.key(), r.value(), r.timestamp()), (None, None, None));
        assert_eq!(r.headers().count(), 0);
        Verdict::keep()
    });
}

#[test]
fn the_last_of_repeated_headers_counts() {
    let twice = record().header("a", "1").header("a", "2");
    twice.transform(|_, r| {
        assert_eq!(r.header("a").unwrap().value, Some(&b"2"[..]));
        Verdict::keep()
    });
}

#[test]
fn verdicts_are_written_as_specified() {
    let headers = Headers::new().add("a", "1").add_null("b");
    let cases = [
        (Verdict::keep(), "00"),
        (Verdict::drop(), "01"),
        (Verdict::replace(), "02 00"),
        (Verdict::replace().value("hi"), "02 02 02000000 6869"),
        (
            Verdict::replace().null_value().key(""),
            "02 03 00000000 ffffffff",
        ),
        (Verdict::replace().null_key(), "02 01 ffffffff"),
        (
            Verdict::replace().timestamp(-2).headers(headers),
            "02 0c 02000000 01000000 01000000 61 31 01000000 ffffffff 62 feffffffffffffff",
        ),
        (Verdict::replace().headers(Headers::new()), "02 04 00000000"),
        (Verdict::keep().value("x"), "02 02 01000000 78"),
        (Verdict::drop().value("x"), "01"),
        (Verdict::reject(258, "no"), "03 0201 02000000 6e6f"),
        (Verdict::reject(1000, ""), "03 e703 00000000"),
        (Verdict::dead_letter(7, ""), "04 0700 00000000"),
        (rt::checked(Ok(())), "00"),
        (
            rt::checked(Err(Refusal::dead_letter(1, "x"))),
            "04 0100 01000000 78",
        ),
    ];
    let mut all = Vec::new();
    let mut frame = TestFrame::new("t");
    for (verdict, want) in &cases {
        let mut bytes = TestFrame::new("t").record(record()).encode();
        let (_, out) = run(&mut bytes, |_, _| verdict.clone());
        assert_eq!(out, hex(want), "{verdict:?}");
        all.extend(hex(want));
        frame = frame.record(record());
    }
    let mut next = cases.iter().map(|(verdict, _)| verdict.clone());
    let (_, out) = run(&mut frame.encode(), |_, _| next.next().unwrap());
    assert_eq!(out, all);
}

#[test]
fn long_messages_are_cut_between_characters() {
    let message = "x".repeat(1023) + "é and more";
    let mut bytes = TestFrame::new("t").record(record()).encode();
    let (_, out) = run(&mut bytes, |_, _| Verdict::reject(0, message.clone()));
    assert_eq!(word(&out, 3), 1023);
    assert_eq!(out.len(), 7 + 1023);
}

#[test]
fn headers_of_a_record_are_added_to() {
    let got = record()
        .header("a", "1")
        .null_header("b")
        .transform(|_, r| Verdict::replace().headers(Headers::of(r).add("c", "3")));
    let want = Headers::new().add("a", "1").add_null("b").add("c", "3");
    assert_eq!(want.len(), 3);
    assert_eq!(got, Verdict::replace().headers(want));
}

#[test]
fn a_panic_leaves_the_verdicts_before_it() {
    for bad in 0..40u32 {
        let mut frame = TestFrame::new("t");
        for i in 0..40 {
            frame = frame.record(record().value(vec![i; 100]));
        }
        let mut bytes = frame.encode();
        let mut out = Vec::new();
        let quiet = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let result = catch_unwind(AssertUnwindSafe(|| {
            rt::run(&mut bytes, &mut out, |_, r| {
                if r.index() == bad {
                    panic!("record {bad}");
                }
                Verdict::replace().value(r.value().unwrap())
            })
        }));
        std::panic::set_hook(quiet);
        assert!(result.is_err());
        assert_eq!(word(&bytes, 48), bad);
        assert_eq!(word(&bytes, 52), out.as_ptr() as usize as u32);
        assert_eq!(word(&bytes, 56), bad * 106);
        assert_eq!(out.len() as u32, bad * 106);
        assert!(out.chunks(106).all(|v| v[..6] == hex("0202 64000000")[..]));
    }
}

/// Whatever is done to a frame, the handler sees what borrows from it or the
/// run ends.
#[test]
fn damaged_frames_do_not_panic() {
    let good = frame().encode();
    let check = |bytes: &mut Vec<u8>| {
        let (whole, out) = run(bytes, |_, r| {
            let len = r.key().map_or(0, <[u8]>::len) + r.value().map_or(0, <[u8]>::len);
            assert!(len <= good.len());
            assert!(r.headers().count() <= good.len());
            Verdict::keep()
        });
        assert!(!whole || out.len() as u32 == word(bytes, 8));
    };
    for len in 0..good.len() {
        let mut bytes = good[..len].to_vec();
        check(&mut bytes);
        let (whole, _) = run(&mut bytes, |_, _| Verdict::keep());
        assert!(!whole, "{len} bytes of {}", good.len());
    }
    for at in 0..good.len() {
        for value in [0, 1, 7, 8, 0x20, 0x7f, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = value;
            check(&mut bytes);
        }
    }
    for at in (0..good.len() - 4).step_by(4) {
        for value in [0, 1, 8, i32::MAX, i32::MIN, -1, -2, -8] {
            let mut bytes = good.clone();
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            check(&mut bytes);
        }
    }
}

#[test]
fn validators_are_tested_alone() {
    let positive = |_: &Context, r: &Record| match r.value() {
        Some(b"-1") => Err(Refusal::reject(4, "negative")),
        _ => Ok(()),
    };
    let value = |v: &str| -> TestRecord { record().value(v) };
    assert_eq!(value("1").validate(positive), Ok(()));
    assert_eq!(
        value("-1").validate(positive),
        Err(Refusal::reject(4, "negative"))
    );
}
