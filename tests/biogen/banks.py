"""A bank in another language, and of few values."""

from pathlib import Path

MONTHS = ["Januar", "Februar", "März", "April", "Mai"]
GERMAN = {
    "first_names.txt": ["Jürgen", "Uwe", "Ann", "Anna", "Käthe"],
    "middle_names.txt": ["Karl", "Maria", "Luise"],
    "last_names.txt": ["Schmitz", "Weiß", "Öttinger", "Müller"],
    "birth_cities.txt": ["Köln", "Bad Honnef", "Münster"],
    "universities.txt": ["Uni Bonn", "TU Graz"],
    "majors.txt": ["Jura", "Chemie", "Physik"],
    "employers.tsv": ["Huber AG\tWien", "Bäcker Groß\tKöln", "Stahl 24\tWien"],
    "months.txt": MONTHS,
    "pronouns.txt": ["Er", "Sie"],
    "templates/birth_date.txt": ["{subject} kam am {value} zur Welt."],
    "templates/birth_city.txt": ["{subject} stammt aus {value}.", "{subject} wuchs in {value} auf."],
    "templates/university.txt": ["{subject} studierte an der {value}."],
    "templates/major.txt": ["{subject} lernte dort {value}."],
    "templates/employer.txt": ["{subject} arbeitete bei {value}."],
    "templates/company_city.txt": ["{subject} pendelte nach {value}."],
    "questions/birth_city.txt": ["Woher stammt {name}?"],
}


def write_bank(folder: Path, changes: dict[str, list[str] | bytes | None] | None = None) -> str:
    """Write the German bank with other files in some places; None leaves one out."""
    for name, lines in (GERMAN | (changes or {})).items():
        if lines is not None:
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(lines if isinstance(lines, bytes) else ("\n".join(lines) + "\n").encode())
    return str(folder)
