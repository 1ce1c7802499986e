//! German.

use std::time::Duration;

use super::{Heading, Messages, Units, count, de_reasons};

pub static MESSAGES: Messages = Messages {
    skip: "Zum Inhalt springen",
    error_prefix: "Fehler",
    signed_in_as: "Angemeldet als",
    sign_out: "Abmelden",
    portal: "Meine Systeme",

    chooser: Heading { title: "Anmelden", lead: "Wählen Sie das Konto, mit dem Sie sich anmelden möchten." },
    hop: Heading { title: "Es geht weiter zur Anmeldung", lead: "Das dauert nur einen Augenblick." },
    hop_continue: "Weiter zur Anmeldung",

    factor: Heading {
        title: "Bestätigen Sie, dass Sie es sind",
        lead: "Öffnen Sie Ihre Authenticator-App und geben Sie den sechsstelligen Code für Portcullis ein.",
    },
    factor_too_old: "Sie haben das schon einmal bestätigt, aber dieses System verlangt eine frische Bestätigung.",
    factor_too_weak: "Dieses System verlangt einen stärkeren zweiten Faktor als den, den Sie gezeigt haben.",
    code_label: "Code aus Ihrer App",
    code_hint: "Sechs Ziffern; alle 30 Sekunden erscheint ein neuer Code.",
    confirm: "Bestätigen",
    recovery_summary: "Telefon nicht zur Hand? Wiederherstellungscode verwenden",
    recovery_label: "Wiederherstellungscode",
    recovery_hint: "Einer der Codes, die Sie beim Einrichten Ihres zweiten Faktors aufbewahrt haben. Jeder gilt einmal.",
    recovery_use: "Wiederherstellungscode verwenden",
    no_phone: "Weder Telefon noch Wiederherstellungscode? Eine Administratorin oder ein Administrator kann Ihren zweiten Faktor zurücksetzen.",
    on_the_way: "Sie sind unterwegs zu",

    enrolment: Heading {
        title: "Zweiten Faktor einrichten",
        lead: "Ab jetzt schützt ein Code aus Ihrem Telefon Ihre Anmeldung. Das Einrichten dauert etwa zwei Minuten.",
    },
    enrolment_app: "Installieren Sie eine Authenticator-App auf Ihrem Telefon, falls Sie noch keine haben. Jede App für Einmalcodes ist geeignet.",
    enrolment_scan: "Scannen Sie dieses Bild mit der App.",
    enrolment_enter: "Geben Sie den sechsstelligen Code ein, den die App anzeigt.",
    qr_alternative: "QR-Code für Ihre Authenticator-App. Dasselbe Geheimnis steht darunter als Text.",
    on_this_phone: "Lesen Sie das gerade auf Ihrem Telefon?",
    open_app: "In der Authenticator-App öffnen",
    by_hand: "Scannen geht nicht? Geheimnis von Hand eingeben",
    secret_label: "Geheimnis",
    secret_hint: "Zeitbasiert, sechs Ziffern, 30 Sekunden. Leerzeichen spielen keine Rolle. Zeigen Sie es niemandem.",

    invite: Heading {
        title: "Sie brauchen eine Einladung",
        lead: "Bevor Sie Ihren zweiten Faktor einrichten, müssen wir sicher sein, dass wirklich Sie es sind. Dafür gibt es die Einladung.",
    },
    invite_label: "Einladungscode",
    invite_how: "Bitten Sie die Administration dieses Gateways um einen Einladungscode. Er gilt nur für Sie, nur einmal und nur kurze Zeit. \
                 Lassen Sie ihn sich am besten am Telefon oder persönlich geben, nicht per E-Mail.",
    invite_continue: "Weiter",
    invite_wrong: "Diese Einladung gilt nicht (mehr). Prüfen Sie den Code auf Tippfehler oder bitten Sie um eine neue Einladung.",

    codes: Heading {
        title: "Bewahren Sie Ihre Wiederherstellungscodes auf",
        lead: "Mit einem dieser Codes können Sie sich anmelden, wenn Ihr Telefon verloren geht oder kaputt ist.",
    },
    codes_once: "Sie sehen diese Codes nur dieses eine Mal.",
    codes_where: "Am besten in einem Passwortmanager, oder ausgedruckt und weggeschlossen. Jeder Code gilt einmal.",
    codes_stored: "Ich habe sie aufbewahrt",
    copy: "Kopieren",
    copied: "Kopiert",
    download: "Herunterladen",
    print: "Drucken",

    portal_page: Heading { title: "Meine Systeme", lead: "Das können Sie von hier aus öffnen." },
    systems: "Systeme",
    systems_none: "Im Moment gibt es kein System, das Sie öffnen dürfen. Wenn Sie eines erwartet haben, fragen Sie das zuständige Team.",
    class: "Klasse",
    owner: "Zuständig",
    data: "Daten",
    sessions: "Meine Sitzungen",
    sessions_hint: "Sie erkennen eine nicht? Melden Sie sie ab und sagen Sie Ihrem Sicherheitsteam Bescheid.",
    this_browser: "Dieser Browser",
    unknown_browser: "Unbekannter Browser",
    began: "Angemeldet",
    last_seen: "Zuletzt aktiv",
    from_address: "Von",
    end_session: "Abmelden",
    end_others: "Alle anderen abmelden",
    end_everywhere: "Überall abmelden",
    factors: "Mein zweiter Faktor",
    totp: "Authenticator-App",
    totp_enrolled: "Eingerichtet",
    recovery_codes: "Wiederherstellungscodes",
    recovery_few: "Besorgen Sie sich besser neue, bevor keine mehr da sind.",
    new_codes: "Neue Wiederherstellungscodes",
    new_codes_hint: "Die alten Codes gelten dann nicht mehr.",
    session_ended: "Diese Sitzung ist abgemeldet.",
    others_ended: "Alle Ihre anderen Sitzungen sind abgemeldet.",

    sign_out_page: Heading {
        title: "Abmelden?",
        lead: "Sie werden in diesem Browser von allen Systemen hinter diesem Gateway abgemeldet.",
    },
    signed_out: Heading { title: "Sie sind abgemeldet", lead: "Sie können dieses Fenster jetzt schließen." },
    signed_out_kept: "Bei Ihrem Anmeldedienst sind Sie vielleicht noch angemeldet. Melden Sie sich an einem gemeinsam genutzten Rechner auch dort ab.",
    sign_in_again: "Wieder anmelden",

    what_helps: "Was hilft",
    details: "Einzelheiten",
    system: "System",
    address: "Adresse",
    ask: "Zuständig",
    admission: "Verlangt wird",
    open_hours: "Geöffnet",
    networks: "Erreichbar aus",
    reason: "Grund",
    request_id: "Anfrage",
    request_id_hint: "Bitte nennen Sie diese Nummer, wenn Sie um Hilfe bitten.",
    next_sign_in: "Anmelden",
    next_factor: "Jetzt bestätigen",
    try_again: "Noch einmal versuchen",

    node_you: "Sie",
    node_system: "System",
    node_idp: "Anmeldedienst",
    picture_system: "Die Verbindung von Ihnen zu Portcullis steht; die Verbindung von Portcullis zum System ist unterbrochen.",
    picture_gateway: "Die Verbindung von Ihnen zu Portcullis steht; Portcullis selbst hat eine Störung.",
    picture_idp: "Die Verbindung von Ihnen zu Portcullis steht; die Verbindung von Portcullis zum Anmeldedienst ist unterbrochen.",

    days: ["Mo", "Di", "Mi", "Do", "Fr", "Sa", "So"],
    every_day: "täglich",
    strength_any: "ein zweiter Faktor",
    strength_phishing_resistant: "ein Sicherheitsschlüssel oder Passkey",

    code_unreadable: "Das ist kein Code. Geben Sie die sechs Ziffern ein, die Ihre App anzeigt, oder einen Ihrer Wiederherstellungscodes.",
    code_wrong: "Dieser Code stimmt nicht. Geben Sie den ein, den Ihre App jetzt anzeigt.",
    code_reused: "Dieser Code wurde schon verwendet. Warten Sie, bis Ihre App den nächsten anzeigt.",
    clock_behind: |span| clock(span, "nach"),
    clock_ahead: |span| clock(span, "vor"),
    code_stopped: "Es gab zu viele falsche Codes hintereinander. Bitte lassen Sie Ihren zweiten Faktor zurücksetzen.",
    wait: |span| format!("Zu viele Versuche. Bitte warten Sie {} und versuchen Sie es dann noch einmal.", UNITS.span(span)),
    ago,
    factor_asked: |factor, age| format!("{factor}, nicht älter als {}", UNITS.span(age)),
    step_up: |factor| format!("Vorher wird verlangt: {factor}"),
    codes_left: |left| if left == 0 { "keine mehr übrig".to_owned() } else { format!("noch {left} übrig") },
    browser_on: |browser, system| format!("{browser} auf {system}"),
    reasons: de_reasons::words,
};

fn clock(span: Duration, direction: &str) -> String {
    format!(
        "Ihr Telefon geht {} {direction}, darum stimmen seine Codes nicht. Schalten Sie am Telefon die automatische Uhrzeit ein und geben Sie \
         dann den nächsten Code ein.",
        UNITS.span(span)
    )
}

fn ago(span: Duration) -> String {
    let minutes = span.as_secs() / 60;
    match (minutes, minutes / 60, minutes / 1_440) {
        (0, ..) => "gerade eben".to_owned(),
        (minutes, 0, _) => format!("vor {}", count(minutes, ["Minute", "Minuten"])),
        (_, hours, 0) => format!("vor {}", count(hours, ["Stunde", "Stunden"])),
        (_, _, days) => format!("vor {}", count(days, ["Tag", "Tagen"])),
    }
}

const UNITS: Units =
    Units { second: ["Sekunde", "Sekunden"], minute: ["Minute", "Minuten"], hour: ["Stunde", "Stunden"], day: ["Tag", "Tage"] };
