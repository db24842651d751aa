//! The live view: queries with a cursor, the rest below. `q` leaves, `k` cancels the query at the cursor.

use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Row, Table, TableState};
use tokio::runtime::Runtime;

use super::{Section, Watched, shown};
use crate::cli::{CommandResult, Failure, terminal};

/// What is on the screen.
struct View {
    sections: Vec<Section>,
    cursor: TableState,
    /// What came of the last key.
    said: String,
    has_colors: bool,
}

/// Shows it until somebody leaves.
pub(super) fn show(runtime: &Runtime, watched: &mut Watched, interval: Duration) -> CommandResult {
    let sections = runtime.block_on(watched.look())?;
    let mut view = View {
        sections,
        cursor: TableState::default().with_selected(Some(0)),
        said: String::new(),
        has_colors: terminal::has_colors(&std::io::stdout()),
    };
    let mut screen =
        ratatui::try_init().map_err(|error| Failure::new(format!("the terminal cannot be used: {error}"), None))?;
    let ended = watch(runtime, watched, interval, &mut screen, &mut view);
    ratatui::restore();
    ended
}

fn watch(
    runtime: &Runtime,
    watched: &mut Watched,
    interval: Duration,
    screen: &mut ratatui::DefaultTerminal,
    view: &mut View,
) -> CommandResult {
    let broken = |error: std::io::Error| Failure::new(format!("the terminal cannot be used: {error}"), None);
    let mut looked = Instant::now();
    loop {
        let name = watched.name.clone();
        screen.draw(|frame| view.draw(frame, &name)).map_err(broken)?;
        let patience = interval.saturating_sub(looked.elapsed());
        if !event::poll(patience).map_err(broken)? {
            view.sections = runtime.block_on(watched.look())?;
            looked = Instant::now();
            continue;
        }
        let Event::Key(key) = event::read().map_err(broken)? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(()),
            KeyCode::Up => view.cursor.select_previous(),
            KeyCode::Down => view.cursor.select_next(),
            KeyCode::Char('k') => {
                view.said = match view.selected() {
                    None => "no query is selected".to_owned(),
                    Some(id) => match runtime.block_on(watched.kill(&id)) {
                        Ok(()) => format!("query {id} was cancelled"),
                        Err(Failure::Told { message, .. }) => message,
                        Err(Failure::Silent(_)) => String::new(),
                    },
                };
                view.sections = runtime.block_on(watched.look())?;
                looked = Instant::now();
            }
            _ => {}
        }
    }
}

impl View {
    fn queries(&self) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == "queries")
    }

    /// The id of the query at the cursor.
    fn selected(&self) -> Option<String> {
        let queries = self.queries()?;
        let at = queries.columns.iter().position(|column| column == "query_id")?;
        queries.rows.get(self.cursor.selected()?)?.get(at)?.clone()
    }

    fn count(&self, state: &str) -> usize {
        let is_one = |row: &&Vec<Option<String>>| row.iter().flatten().any(|cell| cell == state);
        self.queries().map_or(0, |queries| queries.rows.iter().filter(is_one).count())
    }

    fn draw(&mut self, frame: &mut Frame<'_>, server: &str) {
        let queries = self.queries().cloned().unwrap_or_default();
        let others: Vec<Section> = self.sections.iter().filter(|section| section.name != "queries").cloned().collect();
        let mut heights = vec![Constraint::Length(1), Constraint::Min(5)];
        heights.extend(others.iter().map(|section| Constraint::Length(section.rows.len().clamp(1, 12) as u16 + 3)));
        heights.push(Constraint::Length(1));
        let areas = Layout::vertical(heights).split(frame.area());
        let head =
            format!("limnos status  {server}   running {}   queued {}", self.count("RUNNING"), self.count("QUEUED"));
        frame.render_widget(
            Paragraph::new(Span::styled(head, self.style(Color::Cyan).add_modifier(Modifier::BOLD))),
            areas[0],
        );
        self.draw_section(frame, areas[1], &queries, true);
        for (section, area) in others.iter().zip(areas[2..].iter()) {
            self.draw_section(frame, *area, section, false);
        }
        let keys = Line::from(format!("q quit   k cancel query   up/down select   {}", self.said));
        if let Some(last) = areas.last() {
            frame.render_widget(Paragraph::new(keys), *last);
        }
    }

    fn style(&self, color: Color) -> Style {
        if self.has_colors { Style::default().fg(color) } else { Style::default() }
    }

    fn draw_section(&mut self, frame: &mut Frame<'_>, area: Rect, section: &Section, has_cursor: bool) {
        let (columns, rows) = shown(section);
        let width = |at: usize| {
            let widest = rows.iter().map(|row| row[at].chars().count()).chain([columns[at].chars().count()]).max();
            u16::try_from(widest.unwrap_or(0).min(40)).unwrap_or(40)
        };
        let last = columns.len().saturating_sub(1);
        let widths: Vec<Constraint> = (0..columns.len())
            .map(|at| if at == last { Constraint::Min(width(at)) } else { Constraint::Length(width(at)) })
            .collect();
        let head = Row::new(columns.clone()).style(Style::default().add_modifier(Modifier::BOLD));
        let title = format!(" {} ", section.name);
        let table = Table::new(rows.iter().map(|row| Row::new(row.clone())), widths)
            .header(head)
            .column_spacing(2)
            .row_highlight_style(Style::default().add_modifier(Modifier::REVERSED))
            .block(Block::default().borders(Borders::TOP).border_style(self.style(Color::DarkGray)).title(title));
        if has_cursor {
            frame.render_stateful_widget(table, area, &mut self.cursor);
        } else {
            frame.render_widget(table, area);
        }
    }
}
