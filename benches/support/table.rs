//! Tables, in Markdown and readable as they are.

/// A table that is printed when it is whole: the first column to the left, numbers to the
/// right.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[&str]) -> Self {
        Self { rows: vec![columns.iter().map(|&column| column.to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
        assert_eq!(self.rows.last().map(Vec::len), self.rows.first().map(Vec::len));
    }

    pub(crate) fn print(&self) {
        let columns = self.rows[0].len();
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<usize> = (0..columns).filter_map(width).collect();
        for (n, row) in self.rows.iter().enumerate() {
            let mut cells = row.iter().zip(&widths);
            let first = cells.next().map(|(cell, width)| format!("| {cell:<width$} |"));
            let others = cells.map(|(cell, width)| format!(" {cell:>width$} |"));
            println!("{}", first.into_iter().chain(others).collect::<String>());
            if n == 0 {
                let rule = |(n, width): (usize, &usize)| match n {
                    0 => format!("|{}|", "-".repeat(width + 2)),
                    _ => format!("{}:|", "-".repeat(width + 1)),
                };
                println!("{}", widths.iter().enumerate().map(rule).collect::<String>());
            }
        }
    }
}

/// A whole number with its thousands apart.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// With two digits behind the point.
pub(crate) fn decimals(number: f64) -> String {
    format!("{number:.2}")
}
