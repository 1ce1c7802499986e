//! Why a request was refused, in German.

use kernel::policy::Reason;

use super::ReasonWords;

pub const fn words(reason: Reason) -> ReasonWords {
    let (title, why, mend) = match reason {
        Reason::NoSession => (
            "Bitte melden Sie sich an",
            "Sie sind nicht angemeldet, oder Ihre Sitzung ist abgelaufen.",
            "Melden Sie sich an, um fortzufahren.",
        ),
        Reason::SecondFactorRequired => (
            "Ihr zweiter Faktor fehlt",
            "Sie sind angemeldet, haben aber in dieser Sitzung noch keinen zweiten Faktor gezeigt.",
            "Bestätigen Sie mit Ihrem zweiten Faktor, dass Sie es sind.",
        ),
        Reason::FactorTooWeak => (
            "Hier ist ein stärkerer zweiter Faktor nötig",
            "Sie dürfen das, aber es verlangt einen stärkeren zweiten Faktor als den, den Sie gezeigt haben.",
            "Bestätigen Sie mit dem Faktor, der unten genannt ist.",
        ),
        Reason::FactorTooOld => (
            "Bitte bestätigen Sie noch einmal, dass Sie es sind",
            "Sie dürfen das, aber Sie haben Ihren zweiten Faktor vor zu langer Zeit gezeigt.",
            "Zeigen Sie Ihren zweiten Faktor noch einmal.",
        ),
        Reason::NoRule => (
            "Darauf haben Sie keinen Zugriff",
            "Sie sind angemeldet, aber keine Regel erlaubt Ihnen, diese Adresse zu öffnen oder das dort zu tun.",
            "Wenn Sie es für Ihre Arbeit brauchen, bitten Sie die Zuständigen um eine Freigabe. Wenn Sie einem Link gefolgt sind, prüfen Sie die Adresse.",
        ),
        Reason::UnknownHost => (
            "Hier ist kein System",
            "Dieses Gateway kennt kein System mit dieser Adresse.",
            "Prüfen Sie die Adresse auf Tippfehler oder wählen Sie ein System aus Ihrer Liste.",
        ),
        Reason::OutsideHours => (
            "Das ist im Moment geschlossen",
            "Sie dürfen das öffnen, aber nicht um diese Zeit.",
            "Kommen Sie zu den Öffnungszeiten wieder oder fragen Sie die Zuständigen.",
        ),
        Reason::NetworkNotAllowed => (
            "Nicht aus diesem Netz",
            "Sie dürfen das öffnen, aber nicht aus dem Netz, in dem Sie gerade sind.",
            "Verbinden Sie sich mit dem Firmennetz oder VPN und versuchen Sie es noch einmal.",
        ),
        Reason::RateLimited => (
            "Das ging zu schnell",
            "Von Ihnen oder aus Ihrem Netz kamen mehr Anfragen, als in dieser Zeit erlaubt sind.",
            "Warten Sie ein wenig und versuchen Sie es dann noch einmal.",
        ),
        Reason::LockedOut => (
            "Ihr Zugang ist gesperrt",
            "Die Administration hat Ihren Zugang zu diesem Gateway gesperrt.",
            "Sprechen Sie mit der Administration oder Ihrem Sicherheitsteam. Eine neue Anmeldung hilft nicht.",
        ),
        Reason::MalformedRequest => (
            "Diese Anfrage ist nicht lesbar",
            "Die Adresse oder die Anfrage ist so geschrieben, dass man sie auf zwei Arten verstehen könnte. Solche Anfragen werden nicht weitergegeben.",
            "Prüfen Sie die Adresse, oder gehen Sie zurück und benutzen Sie einen Link des Systems.",
        ),
        Reason::Misdirected => (
            "Falsche Verbindung",
            "Ihr Browser hat eine Verbindung benutzt, die für ein anderes System geöffnet war.",
            "Versuchen Sie es noch einmal; Ihr Browser öffnet dann eine neue Verbindung.",
        ),
        Reason::CrossSite => (
            "Das kam nicht von unserer Seite",
            "Eine andere Website wollte dieses Formular für Sie absenden; darum ist nichts geschehen.",
            "Öffnen Sie die Seite hier selbst und versuchen Sie es noch einmal.",
        ),
        Reason::MethodNotAllowed => (
            "Das geht hier nicht",
            "Diese Seite gibt es, aber sie kann nicht auf diese Art aufgerufen werden.",
            "Öffnen Sie die Seite über die Liste Ihrer Systeme.",
        ),
        Reason::NoSuchPage => (
            "Diese Seite gibt es nicht",
            "Das Gateway hat keine Seite mit dieser Adresse.",
            "Prüfen Sie die Adresse auf Tippfehler oder beginnen Sie bei der Liste Ihrer Systeme.",
        ),
        Reason::BodyTooLarge => {
            ("Das war zu viel", "Es wurde mehr gesendet, als hier angenommen wird.", "Gehen Sie zurück und senden Sie weniger.")
        }
        Reason::BodyTooSlow => (
            "Das hat zu lange gedauert",
            "Was Sie gesendet haben, kam zu langsam an; darum hat das Gateway nicht auf den Rest gewartet.",
            "Prüfen Sie Ihr Netz und senden Sie es dann noch einmal.",
        ),
        Reason::LoopDetected => (
            "Diese Anfrage dreht sich im Kreis",
            "Die Anfrage ist schon einmal durch dieses Gateway gekommen; darum wurde sie angehalten.",
            "Es liegt nicht an Ihnen. Melden Sie es der Administration mit der Nummer der Anfrage.",
        ),
        Reason::SignInNotBegun => (
            "Diese Anmeldung ist abgelaufen",
            "Sie wurde vor zu langer Zeit oder in einem anderen Browser begonnen, oder sie ist schon abgeschlossen.",
            "Beginnen Sie neu; das dauert nur einen Augenblick. Benutzen Sie bitte keinen alten Tab und kein Lesezeichen.",
        ),
        Reason::IdpRefused => (
            "Die Anmeldung wurde abgelehnt",
            "Ihr Anmeldedienst hat Sie nicht angemeldet, oder Sie haben abgebrochen.",
            "Versuchen Sie es noch einmal. Wenn es wieder scheitert, fragen Sie die Stelle, die Ihre Konten verwaltet.",
        ),
        Reason::IdpAnswerInvalid => (
            "Die Anmeldung ließ sich nicht prüfen",
            "Die Antwort Ihres Anmeldedienstes hat unsere Prüfung nicht bestanden; darum sind Sie nicht angemeldet.",
            "Versuchen Sie es noch einmal. Wenn es wieder geschieht, melden Sie es der Administration mit der Nummer der Anfrage.",
        ),
        Reason::RedirectRejected => (
            "Das ist keine unserer Adressen",
            "Der Ort, zu dem Sie zurückkehren wollten, gehört nicht zu diesem Gateway.",
            "Öffnen Sie das System direkt oder beginnen Sie bei der Liste Ihrer Systeme.",
        ),
        Reason::FactorCodeWrong => (
            "Dieser Code stimmt nicht",
            "Der Code passt nicht zu Ihrem zweiten Faktor.",
            "Geben Sie den Code ein, den Ihre App jetzt anzeigt.",
        ),
        Reason::FactorCodeReused => (
            "Dieser Code wurde schon verwendet",
            "Jeder Code gilt nur einmal, damit ihn niemand nach Ihnen benutzen kann.",
            "Warten Sie, bis Ihre App den nächsten Code anzeigt.",
        ),
        Reason::FactorClockSkewed => (
            "Die Uhr Ihres Telefons geht falsch",
            "Der Code wäre zu einer anderen Zeit richtig.",
            "Schalten Sie am Telefon die automatische Uhrzeit ein und geben Sie dann den nächsten Code ein.",
        ),
        Reason::FactorDelayed => (
            "Bitte warten Sie ein wenig",
            "Es gab zu viele falsche Codes; darum wird der nächste noch nicht geprüft.",
            "Warten Sie und geben Sie dann den Code ein, den Ihre App anzeigt. Sie sind nicht ausgesperrt.",
        ),
        Reason::InviteInvalid => (
            "Diese Einladung gilt nicht",
            "Die Einladung ist unbekannt, wurde schon benutzt oder ist abgelaufen.",
            "Bitten Sie die Administration um eine neue Einladung.",
        ),
        Reason::LogoutTokenInvalid => (
            "Die Abmeldung ließ sich nicht prüfen",
            "Die Nachricht, die eine Sitzung beenden sollte, hat unsere Prüfung nicht bestanden.",
            "Melden Sie sich auf der Seite mit Ihren Systemen ab.",
        ),
        Reason::AuditUnavailable => (
            "Das Gateway kann nicht protokollieren",
            "Jeder Zugriff wird hier festgehalten. Im Moment geht das nicht, darum kommt nichts durch.",
            "Es liegt nicht an Ihnen, und dem System dahinter geht es vielleicht gut. Versuchen Sie es in einigen Minuten noch einmal; der Betrieb sieht die Störung.",
        ),
        Reason::StoreUnavailable => (
            "Das Gateway hat eine Störung",
            "Das Gateway erreicht im Moment seinen Speicher für Sitzungen und Faktoren nicht.",
            "Es liegt nicht an Ihnen. Versuchen Sie es in einigen Minuten noch einmal; Sie müssen sich nicht neu anmelden.",
        ),
        Reason::IdpUnavailable => (
            "Der Anmeldedienst antwortet nicht",
            "Das Gateway erreicht den Dienst nicht, der Sie anmeldet.",
            "Es liegt nicht an Ihnen. Versuchen Sie es in einigen Minuten noch einmal. Wer schon angemeldet ist, kann weiterarbeiten.",
        ),
        Reason::UpstreamUnreachable => (
            "Das System ist nicht erreichbar",
            "Sie dürfen hinein, aber das Gateway bekommt keine Verbindung zum System.",
            "Es liegt nicht an Ihnen. Versuchen Sie es in einigen Minuten noch einmal oder fragen Sie die Zuständigen.",
        ),
        Reason::UpstreamTimedOut => (
            "Das System antwortet nicht",
            "Sie dürfen hinein, aber das System hat nicht rechtzeitig geantwortet.",
            "Vielleicht ist es ausgelastet. Versuchen Sie es in einigen Minuten noch einmal oder fragen Sie die Zuständigen.",
        ),
        Reason::UpstreamAnswerInvalid => (
            "Das System hat fehlerhaft geantwortet",
            "Sie dürfen hinein, aber die Antwort des Systems lässt sich nicht weitergeben.",
            "Versuchen Sie es noch einmal. Wenn es wieder geschieht, sagen Sie den Zuständigen Bescheid.",
        ),
        Reason::Overloaded => (
            "Das Gateway ist ausgelastet",
            "Im Moment kommen mehr Anfragen, als das Gateway annehmen kann.",
            "Warten Sie eine Minute und versuchen Sie es dann noch einmal.",
        ),
        Reason::InternalError => (
            "Hier ist etwas schiefgegangen",
            "Das Gateway hat einen Fehler gemacht. Ihre Anfrage wurde nicht weitergegeben.",
            "Versuchen Sie es noch einmal. Wenn es wieder geschieht, melden Sie es der Administration mit der Nummer der Anfrage.",
        ),
    };
    ReasonWords { title, why, mend }
}
