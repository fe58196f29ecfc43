use super::*;

fn letter() -> Letter {
    Letter {
        from: "sluse@zone.example".parse().unwrap(),
        to: vec!["drift@sykehus.example".parse().unwrap(), "vakt@sykehus.example".parse().unwrap()],
        time: Timestamp::from_unix(1_795_342_500),
        unique: "abc123".into(),
        subject: "Sluse midt: 1 problem, 0 warnings".into(),
        text: "problem held 1\n.\n..\nend\n".into(),
    }
}

fn text(next: Next) -> String {
    match next {
        Next::Send(bytes) | Next::Taken(bytes) => String::from_utf8(bytes).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_mail_is_handed_over_to_each_recipient_with_its_dots_kept() {
    let letter = letter();
    let mut session = Session::new(&letter, "zone", false);
    let mut say = |reply: &str| text(session.take(reply.as_bytes()).unwrap());
    assert_eq!(say("220 relay\r\n"), "EHLO zone\r\n");
    assert_eq!(say("250-relay\r\n250-SIZE 1000\r\n250 STARTTLS\r\n"), "MAIL FROM:<sluse@zone.example>\r\n");
    assert_eq!(say("250 ok\r\n"), "RCPT TO:<drift@sykehus.example>\r\n");
    assert_eq!(say("250 ok\r\n"), "RCPT TO:<vakt@sykehus.example>\r\n");
    assert_eq!(say("251 will forward\r\n"), "DATA\r\n");
    let data = say("354 go on\r\n");
    assert!(data.contains("Date: Sun, 22 Nov 2026 10:15:00 +0000\r\n"), "{data}");
    assert!(data.contains("Subject: Sluse midt: 1 problem, 0 warnings\r\n"));
    assert!(data.ends_with("\r\n\r\nproblem held 1\r\n..\r\n...\r\nend\r\n.\r\n"), "{data}");
    assert_eq!(session.take(b"250 queued\r\n"), Ok(Next::Taken(b"QUIT\r\n".to_vec())));
}

#[test]
fn replies_may_come_in_any_pieces() {
    let letter = letter();
    let mut session = Session::new(&letter, "zone", false);
    for byte in b"220 relay\r" {
        assert_eq!(session.take(&[*byte]), Ok(Next::Read));
    }
    assert_eq!(text(session.take(b"\n").unwrap()), "EHLO zone\r\n");
}

#[test]
fn encryption_that_is_asked_for_begins_before_anything_is_said_of_the_mail() {
    let letter = letter();
    let mut session = Session::new(&letter, "zone", true);
    session.take(b"220 relay\r\n").unwrap();
    assert_eq!(text(session.take(b"250-relay\r\n250 starttls\r\n").unwrap()), "STARTTLS\r\n");
    assert_eq!(session.take(b"220 go\r\n"), Ok(Next::Encrypt));
    assert_eq!(text(session.encrypted()), "EHLO zone\r\n");
    assert_eq!(text(session.take(b"250 relay\r\n").unwrap()), "MAIL FROM:<sluse@zone.example>\r\n");
    let mut plain = Session::new(&letter, "zone", true);
    plain.take(b"220 relay\r\n").unwrap();
    assert_eq!(plain.take(b"250 relay\r\n"), Err(NotTaken::NoTls));
}

#[test]
fn what_comes_before_it_was_asked_for_is_not_taken() {
    let letter = letter();
    let mut session = Session::new(&letter, "zone", true);
    session.take(b"220 relay\r\n").unwrap();
    session.take(b"250-relay\r\n250 STARTTLS\r\n").unwrap();
    assert_eq!(session.take(b"220 go\r\n250 injected\r\n"), Err(NotTaken::Protocol));
}

#[test]
fn a_relay_that_refuses_or_speaks_something_else_is_an_error_that_names_nobody() {
    let letter = letter();
    let refused = |replies: &[&str]| {
        let mut session = Session::new(&letter, "zone", false);
        replies.iter().find_map(|reply| session.take(reply.as_bytes()).err()).unwrap()
    };
    assert_eq!(refused(&["554 no\r\n"]), NotTaken::Refused { code: 554, to: "the connection" });
    let to = ["220 r\r\n", "250 r\r\n", "250 ok\r\n", "550 no such user drift@sykehus.example\r\n"];
    assert_eq!(refused(&to), NotTaken::Refused { code: 550, to: "RCPT" });
    assert!(!refused(&to).to_string().contains("drift"));
    for nonsense in ["HTTP/1.1 400 Bad\r\n", "220 relay\n", "22\r\n", "220-a\r\n250 b\r\n", "2200\r\n", "999 x\r\n"] {
        assert_eq!(refused(&[nonsense]), NotTaken::Protocol, "{nonsense:?}");
    }
    assert_eq!(refused(&[&"220-x\r\n".repeat(4000)]), NotTaken::Protocol);
}

#[test]
fn addresses_that_could_break_out_of_a_line_are_none() {
    for good in ["a@b", "drift.vakt+sluse@st-olav.no"] {
        assert_eq!(good.parse::<Address>().unwrap().as_str(), good);
    }
    for bad in ["", "a", "@b", "a@", "a b@c", "a@b>", "a@b\r\nRCPT", "<a@b>", "å@b", ".a@b", "a..b@c", "a@b@c"] {
        assert!(bad.parse::<Address>().is_err(), "{bad}");
    }
}
