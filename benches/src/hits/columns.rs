//! What the columns of `hits` are like: types, and where values come from.

use std::fmt::Write as _;

use super::{View, mix, skewed, unit};

/// A column's type.
pub(super) enum Shape {
    Small(Source),
    Int(Source),
    Big(Source),
    Text(Text),
    /// The view's time, so many seconds later.
    Time(i32),
    Day,
}

/// Where numbers come from.
pub(super) enum Source {
    /// Always this one.
    Same(u64),
    /// One of so many, all as likely.
    Of(u64),
    /// One of so many, by Zipf's law with this exponent.
    Skewed(u64, f64),
    /// Zero but in one of so many views, there one of so many.
    Seldom(u64, u64),
    /// One of so many, always the same for a user.
    OfUser(u64, f64),
    Special(Special),
}

/// Numbers that go together.
#[derive(Clone, Copy)]
pub(super) enum Special {
    Watch,
    Site,
    User,
    Region,
    Address,
    UrlHash,
    RefererHash,
}

/// Where texts come from.
pub(super) enum Text {
    Title,
    Url,
    Referer,
    Phrase,
    /// A word, in one of so many views, of so many.
    Seldom(&'static str, u64, u64),
    /// One of these, always the same for a user.
    OfUser(&'static [&'static str]),
}

impl Text {
    /// Appends the value of a view.
    pub(super) fn push(&self, column: u64, view: &View, out: &mut String) {
        let random = mix(view.row.wrapping_mul(263).wrapping_add(column));
        match self {
            Self::Title => {
                words(mix(view.site), 2, out);
                out.push_str(" - ");
                words(mix(view.site << 20 | view.page), 4, out);
            }
            Self::Url => url(view.site << 20 | view.page, out),
            Self::Referer => match view.referer() {
                0 => {}
                other => url(other, out),
            },
            Self::Phrase => {
                if let Some(phrase) = view.phrase {
                    words(mix(phrase), 1 + (phrase % 4) as usize, out);
                    if phrase % 3 == 0 {
                        let _it_is_a_string = write!(out, " {phrase}");
                    }
                }
            }
            Self::Seldom(word, one_of, count) => {
                if random.is_multiple_of(*one_of) {
                    let _it_is_a_string = write!(out, "{word}{}", skewed(unit(mix(random)), *count, 1.0));
                }
            }
            Self::OfUser(values) => {
                out.push_str(values[skewed(unit(mix(view.user ^ column << 32)), values.len() as u64, 1.0) as usize]);
            }
        }
    }
}

const WORDS: [&str; 48] = [
    "auto", "bank", "bike", "blue", "book", "buy", "camera", "cheap", "city", "coffee", "course", "dance", "film",
    "flat", "flower", "forum", "free", "game", "garden", "google", "green", "hotel", "house", "kitchen", "lake",
    "letter", "map", "market", "music", "new", "news", "old", "online", "phone", "photo", "price", "recipe", "repair",
    "school", "shoes", "sport", "summer", "ticket", "train", "travel", "video", "weather", "winter",
];

fn words(seed: u64, count: usize, out: &mut String) {
    for number in 0..count {
        if number > 0 {
            out.push(' ');
        }
        out.push_str(WORDS[(mix(seed.wrapping_add(number as u64)) % WORDS.len() as u64) as usize]);
    }
}

fn url(page: u64, out: &mut String) {
    let site = mix(page >> 20);
    let scheme = if site.is_multiple_of(5) { "https" } else { "http" };
    let prefix = if site.is_multiple_of(3) { "www." } else { "" };
    let (first, second) = (WORDS[(site % 48) as usize], WORDS[(site / 48 % 48) as usize]);
    let _it_is_a_string = write!(out, "{scheme}://{prefix}{first}-{second}{}.example/", site % 89);
    let seed = mix(page);
    for part in 0..1 + seed % 3 {
        out.push_str(WORDS[(mix(seed ^ part) % 48) as usize]);
        out.push('/');
    }
    let _it_is_a_string = write!(out, "item{}?from={}&page={}", page & 0xf_ffff, seed % 977, seed % 7);
}

/// A flag that is nearly always one thing.
const fn seldom(one_of: u64) -> Shape {
    Shape::Small(Source::Seldom(one_of, 1))
}

const NEVER: Shape = Shape::Small(Source::Same(0));
const LANGUAGES: &[&str] = &["ru", "en", "tr", "uk", "de", "be", "kk", "fr"];
const PHONES: &[&str] = &["", "", "", "iPad", "iPhone", "N95", "GT-I9100", "One S", "Lumia", "Xperia"];

/// All of them, in the table's order.
pub(super) const COLUMNS: [(&str, Shape); 105] = [
    ("watchid", Shape::Big(Source::Special(Special::Watch))),
    ("javaenable", Shape::Small(Source::OfUser(2, 0.5))),
    ("title", Shape::Text(Text::Title)),
    ("goodevent", Shape::Small(Source::Same(1))),
    ("eventtime", Shape::Time(0)),
    ("eventdate", Shape::Day),
    ("counterid", Shape::Int(Source::Special(Special::Site))),
    ("clientip", Shape::Int(Source::Special(Special::Address))),
    ("regionid", Shape::Int(Source::Special(Special::Region))),
    ("userid", Shape::Big(Source::Special(Special::User))),
    ("counterclass", Shape::Small(Source::Skewed(3, 1.0))),
    ("os", Shape::Small(Source::OfUser(90, 1.2))),
    ("useragent", Shape::Small(Source::OfUser(80, 1.1))),
    ("url", Shape::Text(Text::Url)),
    ("referer", Shape::Text(Text::Referer)),
    ("isrefresh", seldom(11)),
    ("referercategoryid", Shape::Small(Source::Seldom(6, 20_000))),
    ("refererregionid", Shape::Int(Source::Seldom(4, 5_000))),
    ("urlcategoryid", Shape::Small(Source::Skewed(20_000, 1.2))),
    ("urlregionid", Shape::Int(Source::Skewed(5_000, 1.2))),
    ("resolutionwidth", Shape::Small(Source::OfUser(2_600, 0.7))),
    ("resolutionheight", Shape::Small(Source::OfUser(1_600, 0.7))),
    ("resolutiondepth", Shape::Small(Source::OfUser(40, 1.4))),
    ("flashmajor", Shape::Small(Source::OfUser(16, 0.8))),
    ("flashminor", Shape::Small(Source::OfUser(10, 0.8))),
    ("flashminor2", Shape::Text(Text::Seldom("", 2, 600))),
    ("netmajor", Shape::Small(Source::OfUser(5, 1.2))),
    ("netminor", Shape::Small(Source::OfUser(5, 1.2))),
    ("useragentmajor", Shape::Small(Source::OfUser(60, 0.8))),
    ("useragentminor", Shape::Text(Text::Seldom("", 3, 90))),
    ("cookieenable", Shape::Small(Source::Same(1))),
    ("javascriptenable", Shape::Small(Source::Same(1))),
    ("ismobile", Shape::Small(Source::OfUser(2, 2.5))),
    ("mobilephone", Shape::Small(Source::Seldom(18, 70))),
    ("mobilephonemodel", Shape::Text(Text::OfUser(PHONES))),
    ("params", Shape::Text(Text::Seldom("{\"value\":1,\"key\":", 40, 9_000))),
    ("ipnetworkid", Shape::Int(Source::OfUser(400_000, 0.8))),
    ("traficsourceid", Shape::Small(Source::Skewed(10, 1.1))),
    ("searchengineid", Shape::Small(Source::Seldom(8, 60))),
    ("searchphrase", Shape::Text(Text::Phrase)),
    ("advengineid", Shape::Small(Source::Seldom(150, 40))),
    ("isartifical", seldom(90)),
    ("windowclientwidth", Shape::Small(Source::OfUser(2_500, 0.6))),
    ("windowclientheight", Shape::Small(Source::OfUser(1_400, 0.6))),
    ("clienttimezone", Shape::Small(Source::OfUser(30, 1.5))),
    ("clienteventtime", Shape::Time(-37)),
    ("silverlightversion1", Shape::Small(Source::OfUser(6, 1.0))),
    ("silverlightversion2", NEVER),
    ("silverlightversion3", Shape::Int(Source::OfUser(60_000, 1.5))),
    ("silverlightversion4", NEVER),
    ("pagecharset", Shape::Text(Text::OfUser(&["windows", "utf-8", "koi8-r"]))),
    ("codeversion", Shape::Int(Source::Skewed(2_000, 1.6))),
    ("islink", seldom(50)),
    ("isdownload", seldom(900)),
    ("isnotbounce", seldom(3)),
    ("funiqid", Shape::Big(Source::Special(Special::User))),
    ("originalurl", Shape::Text(Text::Seldom("http://old.example/", 12, 50_000))),
    ("hid", Shape::Int(Source::Of(1 << 30))),
    ("isoldcounter", NEVER),
    ("isevent", seldom(40)),
    ("isparameter", NEVER),
    ("dontcounthits", seldom(4)),
    ("withhash", seldom(30)),
    ("hitcolor", Shape::Text(Text::OfUser(&["5", "T", "D", "E", "F"]))),
    ("localeventtime", Shape::Time(14_400)),
    ("age", Shape::Small(Source::OfUser(60, 0.9))),
    ("sex", Shape::Small(Source::OfUser(3, 0.9))),
    ("income", Shape::Small(Source::OfUser(4, 0.9))),
    ("interests", Shape::Small(Source::OfUser(30_000, 1.2))),
    ("robotness", Shape::Small(Source::Seldom(40, 10))),
    ("remoteip", Shape::Int(Source::Special(Special::Address))),
    ("windowname", Shape::Int(Source::Seldom(9, 1_000_000))),
    ("openername", Shape::Int(Source::Seldom(9, 1_000_000))),
    ("historylength", Shape::Small(Source::Skewed(200, 1.2))),
    ("browserlanguage", Shape::Text(Text::OfUser(LANGUAGES))),
    ("browsercountry", Shape::Text(Text::OfUser(LANGUAGES))),
    ("socialnetwork", Shape::Text(Text::Seldom("network", 5_000, 8))),
    ("socialaction", Shape::Text(Text::Seldom("like", 5_000, 4))),
    ("httperror", NEVER),
    ("sendtiming", Shape::Int(Source::Seldom(2, 9_000))),
    ("dnstiming", Shape::Int(Source::Seldom(3, 4_000))),
    ("connecttiming", Shape::Int(Source::Seldom(3, 6_000))),
    ("responsestarttiming", Shape::Int(Source::Seldom(2, 9_000))),
    ("responseendtiming", Shape::Int(Source::Seldom(2, 9_000))),
    ("fetchtiming", Shape::Int(Source::Seldom(2, 20_000))),
    ("socialsourcenetworkid", Shape::Small(Source::Seldom(300, 5))),
    ("socialsourcepage", Shape::Text(Text::Seldom("http://social.example/", 300, 2_000))),
    ("paramprice", Shape::Big(Source::Seldom(700, 100_000))),
    ("paramorderid", Shape::Text(Text::Seldom("order", 700, 90_000))),
    ("paramcurrency", Shape::Text(Text::Seldom("EUR", 700, 1))),
    ("paramcurrencyid", Shape::Small(Source::Seldom(700, 3))),
    ("openstatservicename", Shape::Text(Text::Seldom("direct", 200, 3))),
    ("openstatcampaignid", Shape::Text(Text::Seldom("campaign", 200, 900))),
    ("openstatadid", Shape::Text(Text::Seldom("ad", 200, 4_000))),
    ("openstatsourceid", Shape::Text(Text::Seldom("source", 200, 300))),
    ("utmsource", Shape::Text(Text::Seldom("source", 60, 300))),
    ("utmmedium", Shape::Text(Text::Seldom("medium", 60, 12))),
    ("utmcampaign", Shape::Text(Text::Seldom("campaign", 60, 900))),
    ("utmcontent", Shape::Text(Text::Seldom("content", 90, 2_000))),
    ("utmterm", Shape::Text(Text::Seldom("term", 90, 5_000))),
    ("fromtag", Shape::Text(Text::Seldom("tag", 80, 700))),
    ("hasgclid", seldom(120)),
    ("refererhash", Shape::Big(Source::Special(Special::RefererHash))),
    ("urlhash", Shape::Big(Source::Special(Special::UrlHash))),
    ("clid", Shape::Int(Source::Seldom(30, 2_000_000))),
];
