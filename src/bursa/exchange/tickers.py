"""What is listed on the demo exchange: codes, names, sectors, sizes. Data.

The large instruments bear the codes and names of real ones, at roughly their prices and sizes; the
others are made up, and the same for every seed. Prices are where the demo's random walks start
from, no quotation of anybody's; ISINs are made up throughout.
"""

from dataclasses import dataclass
from functools import lru_cache

SECTORS = (
    "energy",
    "materials",
    "industrials",
    "staples",
    "cyclicals",
    "health",
    "financials",
    "property",
    "technology",
    "infrastructure",
    "transport",
)
TICKERS_MAX = 5_000
NAME_BYTES_MAX = 60
SUSPENDED = ("WSKT", "WSBP")  # listed, never traded: an instrument without a price


@dataclass(frozen=True)
class Ticker:
    """One listed share.

    sector     index into SECTORS
    price      rupiah around which it moves
    shares     shares outstanding
    activity   how often it trades, relative to the others; 0: suspended
    """

    code: str
    name: str
    isin: str
    sector: int
    price: int
    shares: int
    activity: float


# code, name, index of the sector, price, shares outstanding in millions, activity
_REAL = """
BBCA Bank Central Asia|6|8400|123275|30
BBRI Bank Rakyat Indonesia (Persero)|6|3950|151559|34
BMRI Bank Mandiri (Persero)|6|4750|93333|28
TLKM Telkom Indonesia (Persero)|9|3550|99062|18
ASII Astra International|2|6400|40484|14
GOTO GoTo Gojek Tokopedia|8|64|1191000|24
BREN Barito Renewables Energy|9|9500|133786|10
AMMN Amman Mineral Internasional|1|6800|72518|9
ADRO Alamtri Resources Indonesia|0|1850|30758|14
UNVR Unilever Indonesia|3|2600|38150|7
ICBP Indofood CBP Sukses Makmur|3|8600|11662|5
BBNI Bank Negara Indonesia (Persero)|6|4300|37297|15
BRPT Barito Pacific|1|3600|93747|14
TPIA Chandra Asri Pacific|1|7200|86511|6
BYAN Bayan Resources|0|17500|33333|2
DSSA Dian Swastatika Sentosa|0|89000|7705|4
DCII DCI Indonesia|8|246000|2384|2
CUAN Petrindo Jaya Kreasi|0|2400|112418|13
PANI Pantai Indah Kapuk Dua|7|14500|16875|7
AADI Adaro Andalan Indonesia|0|8000|7787|8
INDF Indofood Sukses Makmur|3|7400|8780|5
AMRT Sumber Alfaria Trijaya|3|1900|41525|6
CPIN Charoen Pokphand Indonesia|3|4600|16398|5
KLBF Kalbe Farma|5|1250|46875|7
HMSP Hanjaya Mandala Sampoerna|3|850|116318|5
GGRM Gudang Garam|3|15000|1924|5
SMGR Semen Indonesia (Persero)|1|2700|6752|6
INTP Indocement Tunggal Prakarsa|1|6500|3681|3
INKP Indah Kiat Pulp & Paper|1|8200|5471|5
TKIM Pabrik Kertas Tjiwi Kimia|1|7500|3113|2
UNTR United Tractors|2|27500|3730|6
PGAS Perusahaan Gas Negara|0|1800|24242|9
PTBA Bukit Asam|0|2350|11521|7
ANTM Aneka Tambang|1|3000|24031|20
INCO Vale Indonesia|1|4000|10540|8
MDKA Merdeka Copper Gold|1|2300|24473|11
MBMA Merdeka Battery Materials|1|560|107995|8
NCKL Trimegah Bangun Persada|1|1150|63098|7
ITMG Indo Tambangraya Megah|0|22000|1130|4
HRUM Harum Energy|0|1050|13518|4
MEDC Medco Energi Internasional|0|1350|25136|8
AKRA AKR Corporindo|0|1300|20073|5
EXCL XLSMART Telecom Sejahtera|9|2700|18200|5
ISAT Indosat|9|2200|32251|5
TOWR Sarana Menara Nusantara|9|560|59100|6
TBIG Tower Bersama Infrastructure|9|2100|22657|1.5
MTEL Dayamitra Telekomunikasi|9|580|83561|3
JSMR Jasa Marga (Persero)|9|3700|7258|4
SCMA Surya Citra Media|4|300|73971|8
EMTK Elang Mahkota Teknologi|8|1050|61280|6
BUKA Bukalapak.com|8|170|103122|8
ARTO Bank Jago|6|2200|13862|6
BRIS Bank Syariah Indonesia|6|2600|46129|8
BBTN Bank Tabungan Negara (Persero)|6|1200|14034|6
BDMN Bank Danamon Indonesia|6|2500|9773|0.8
BNGA Bank CIMB Niaga|6|1750|25132|2
NISP Bank OCBC NISP|6|1400|22945|1
PNBN Bank Pan Indonesia|6|1200|24087|1.5
MEGA Bank Mega|6|3300|11741|0.5
BTPS Bank BTPN Syariah|6|1200|7704|3
BJBR Bank Pembangunan Daerah Jawa Barat dan Banten|6|850|10521|1.2
BJTM Bank Pembangunan Daerah Jawa Timur|6|580|15015|1.2
BANK Bank Aladin Syariah|6|900|14200|1.5
BBYB Bank Neo Commerce|6|430|13340|3
BSDE Bumi Serpong Damai|7|980|21171|4
CTRA Ciputra Development|7|900|18536|4
PWON Pakuwon Jati|7|380|48160|4
SMRA Summarecon Agung|7|400|16508|4
LPKR Lippo Karawaci|7|100|70898|3
ACES Aspirasi Hidup Indonesia|4|450|17120|5
MAPI Mitra Adiperkasa|4|1250|16600|5
MAPA Map Aktif Adiperkasa|4|700|28504|4
ERAA Erajaya Swasembada|4|420|15950|5
LPPF Matahari Department Store|4|1750|2259|2
RALS Ramayana Lestari Sentosa|4|450|7096|1.2
MYOR Mayora Indah|3|2200|22359|3
SIDO Industri Jamu dan Farmasi Sido Muncul|5|540|30000|4
ULTJ Ultrajaya Milk Industry & Trading Company|3|1400|11554|0.8
ROTI Nippon Indosari Corpindo|3|850|6186|0.6
CMRY Cisarua Mountain Dairy|3|5000|7935|2
JPFA Japfa Comfeed Indonesia|3|2500|11727|5
MAIN Malindo Feedmill|3|800|2239|1.2
AALI Astra Agro Lestari|3|7500|1925|1.5
LSIP PP London Sumatra Indonesia|3|1300|6823|2.5
SIMP Salim Ivomas Pratama|3|600|15501|1
DSNG Dharma Satya Nusantara|3|1500|10600|3
TAPG Triputra Agro Persada|3|1500|19852|2
SSMS Sawit Sumbermas Sarana|3|1500|9525|1.5
MIKA Mitra Keluarga Karyasehat|5|2500|14247|3
HEAL Medikaloka Hermina|5|1600|15366|3
SILO Siloam International Hospitals|5|2400|13006|0.7
PRDA Prodia Widyahusada|5|2600|938|0.4
KAEF Kimia Farma|5|600|5554|1.5
PTPP PP (Persero)|9|380|6200|3
ADHI Adhi Karya (Persero)|9|280|8408|2
WSKT Waskita Karya (Persero)|9|202|28807|0
WSBP Waskita Beton Precast|1|50|54500|0
SMDR Samudera Indonesia|10|350|16376|2
TMAS Temas|10|150|57051|1.5
GIAA Garuda Indonesia (Persero)|10|80|91480|5
BIRD Blue Bird|10|1800|2502|1
ASSA Adi Sarana Armada|10|1100|3691|1.5
BUMI Bumi Resources|0|150|371321|26
BRMS Bumi Resources Minerals|1|900|141784|22
ENRG Energi Mega Persada|0|1100|24821|7
DEWA Darma Henwa|0|350|40685|12
INDY Indika Energy|0|2500|5210|6
ELSA Elnusa|0|520|7299|4
PGEO Pertamina Geothermal Energy|9|1300|41508|6
ESSA ESSA Industries Indonesia|1|650|17227|4
WIFI Solusi Sinergi Digital|8|3500|5308|10
CDIA Chandra Daya Investasi|9|1700|124829|11
RAJA Rukun Raharja|0|3500|4227|7
PTRO Petrosea|0|8000|10087|9
RATU Raharja Energi Cepu|0|9000|2715|5
SRTG Saratoga Investama Sedaya|6|1800|13565|1.5
TINS Timah|1|2900|7448|7
AVIA Avia Avian|1|480|61953|2
MNCN Media Nusantara Citra|4|280|13000|2
FILM MD Entertainment|4|8000|10883|2
AUTO Astra Otoparts|4|2600|4820|1.5
GJTL Gajah Tunggal|4|1100|3485|1.2
SMSM Selamat Sempurna|4|1850|5759|0.8
TSPC Tempo Scan Pacific|5|2600|4500|0.5
BSSR Baramulti Suksessarana|0|4100|2617|0.6
"""

_FIRST = (
    "Cahaya Mitra Graha Nusa Surya Sinar Bumi Mega Prima Wahana Citra Duta Agung Karya Lintas "
    "Sumber Jaya Kencana Andalan Bintang Pelita Panca Tirta Rimba Samudra Puri Bahtera Arta Delta "
    "Eka Fajar Harapan Indah Kusuma Langgeng Mahkota Nirwana Optima Pratama Roda"
).split()
_SECOND = (
    "Energi Mineral Batubara Kimia Semen Baja Mesin Teknik Pangan Tani Sawit Niaga Busana Wisata "
    "Media Medika Farma Finansia Sekuritas Properti Land Griya Digital Data Solusi Beton Menara "
    "Telekom Logistik Pelayaran Trans"
).split()
_SECTOR_OF_SECOND = (
    *(0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 5, 6, 6, 7, 7, 7, 8, 8, 8, 9, 9, 9),
    *(10, 10, 10),
)
_THIRD = (
    "Abadi Perkasa Sejahtera Makmur Mandiri Lestari Utama Sentosa Gemilang Nusantara Indonesia "
    "Persada Raya Sukses Bersama Global Internasional Tama Sakti Mulia Unggul Xpress Zamrud Yasa"
).split()


def _isin(number: int) -> str:
    """Country, nine characters, check digit by the Luhn rule over letters as numbers."""
    body = f"ID1000{number:05d}"
    digits = "".join(str(int(c, 36)) for c in body)
    total = 0
    for at, c in enumerate(reversed(digits)):
        doubled = int(c) * (2 if at % 2 == 0 else 1)
        total += doubled // 10 + doubled % 10
    return body + str(-total % 10)


def _real() -> list[Ticker]:
    found: list[Ticker] = []
    for line in _REAL.strip().splitlines():
        head, sector, price, millions, activity = line.split("|")
        code, name = head.split(" ", 1)
        number = 1_000 + len(found)
        found.append(
            Ticker(
                code,
                f"{name} Tbk",
                _isin(number),
                int(sector),
                int(price),
                int(millions) * 1_000_000,
                float(activity),
            )
        )
    found[10:] = sorted(found[10:], key=lambda t: -t.activity)
    return found


def _code(words: list[str], taken: set[str]) -> str | None:
    """Four letters out of a name, the first of each word in front; None when all are taken."""
    first, second, third = (word.upper() for word in words)
    for a in range(1, len(second)):
        for b in range(1, len(third)):
            for code in (
                first[0] + second[0] + second[a] + third[0],
                first[0] + second[0] + third[0] + third[b],
                first[0] + first[1] + second[a] + third[b],
            ):
                if code not in taken:
                    return code
    return None


def _made(count: int, taken: set[str]) -> list[Ticker]:
    """Made-up shares, ever quieter ones; a multiplicative walk over the word lists picks names."""
    found: list[Ticker] = []
    words_max = len(_FIRST) * len(_SECOND) * len(_THIRD)
    step = 0
    while len(found) < count:
        step += 1
        pick = step * 7_919 % words_max
        second = pick // len(_FIRST) % len(_SECOND)
        words = [
            _FIRST[pick % len(_FIRST)],
            _SECOND[second],
            _THIRD[pick // len(_FIRST) // len(_SECOND)],
        ]
        code = _code(words, taken)
        if code is None:
            continue
        taken.add(code)
        at = len(found)
        unit = (at * 0.6180339887498949 + 0.31) % 1.0  # spread evenly, in no visible order
        price = max(51, round(52 * (160.0 ** (unit**1.3))))
        millions = 400 + at * 7_907 % 9_000
        activity = max(0.02, 3.5 * 2.718281828 ** (-at / 120))
        name = " ".join(words) + " Tbk"
        sector = _SECTOR_OF_SECOND[second]
        found.append(
            Ticker(code, name, _isin(5_000 + at), sector, price, millions * 1_000_000, activity)
        )
    return found


@lru_cache(4)
def listing(count: int) -> tuple[Ticker, ...]:
    """The first `count` instruments (1 to TICKERS_MAX): real ones first, the ten best known at the
    head, then made-up ones. Independent of the seed; a longer listing begins with a shorter one."""
    assert 1 <= count <= TICKERS_MAX, f"{count} tickers"
    real = _real()
    made = _made(count - len(real), {t.code for t in real}) if count > len(real) else []
    return tuple((real + made)[:count])
