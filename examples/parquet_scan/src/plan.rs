//! Which pages a query needs, by the file's page index.

use crate::BoxError;
use crate::layers::Layers;
use crate::table::{AMOUNT, ID};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::metadata::page_index::RowGroupPageIndex;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use std::collections::BTreeSet;
use std::ops::Range;

/// What a scan will read.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The row groups that have rows of the query, and which rows to read of them: those of the touched pages.
    pub(crate) groups: Vec<usize>,
    pub(crate) selection: RowSelection,
    /// Pages of the file that are touched, and their bytes.
    pub(crate) pages: usize,
    pub(crate) bytes: u64,
    /// Segments that these bytes are sealed in.
    pub(crate) segments: BTreeSet<u32>,
    /// How often one of them is opened: the columns of a row group are far apart and are requests of their own, and so
    /// is each row group, so that one on a border is opened twice.
    pub(crate) opens: usize,
}

impl Plan {
    pub(crate) fn new(
        metadata: &ParquetMetaData,
        ids: &Range<u64>,
        layers: &Layers,
        size: u64,
    ) -> Result<Self, BoxError> {
        let map = layers.map(size)?;
        let (mut groups, mut selectors) = (Vec::new(), Vec::new());
        let (mut pages, mut bytes, mut segments, mut opens) = (0, 0, BTreeSet::new(), 0);
        for number in 0..metadata.num_row_groups() {
            let index = metadata.page_index_for_row_group(number);
            let rows = usize::try_from(metadata.row_group(number).num_rows())?;
            let Some(wanted) = wanted(&index, ids, rows)? else { continue };
            groups.push(number);
            selectors.push(RowSelector::skip(wanted.start));
            selectors.push(RowSelector::select(wanted.end - wanted.start));
            selectors.push(RowSelector::skip(rows - wanted.end));
            for column in [ID, AMOUNT] {
                let mut touched = BTreeSet::new();
                for (page, held) in pages_of(&index, column, rows)? {
                    if held.start < wanted.end && wanted.start < held.end {
                        pages += 1;
                        bytes += page.end - page.start;
                        touched.extend(map.cover(page)?.segments());
                    }
                }
                opens += touched.len();
                segments.append(&mut touched);
            }
        }
        Ok(Self { groups, selection: selectors.into(), pages, bytes, segments, opens })
    }
}

/// The rows of the pages whose ids may be among those wanted.
fn wanted(
    index: &RowGroupPageIndex,
    ids: &Range<u64>,
    rows: usize,
) -> Result<Option<Range<usize>>, BoxError> {
    let Some(ColumnIndexMetaData::INT64(bounds)) = index.column_index(ID) else {
        return Err("the file has no index of the ids".into());
    };
    let (first, last) = (i64::try_from(ids.start)?, i64::try_from(ids.end)? - 1);
    let mut wanted: Option<Range<usize>> = None;
    for (number, (_, held)) in pages_of(index, ID, rows)?.into_iter().enumerate() {
        let (Some(least), Some(most)) = (bounds.min_value(number), bounds.max_value(number)) else {
            return Err("a page has no bounds".into());
        };
        if *least <= last && first <= *most {
            wanted = Some(wanted.map_or(held.clone(), |wanted| wanted.start..held.end));
        }
    }
    Ok(wanted)
}

/// Where a page is in the file, and its rows.
type PlacedPage = (Range<u64>, Range<usize>);

/// Where each page of a column is in the file, and which rows of the group it holds.
fn pages_of(index: &RowGroupPageIndex, column: usize, rows: usize) -> Result<Vec<PlacedPage>, BoxError> {
    let locations = index.page_locations(column).ok_or("the file has no index of its pages")?;
    let mut pages = Vec::with_capacity(locations.len());
    for (number, location) in locations.iter().enumerate() {
        let start = u64::try_from(location.offset)?;
        let end = start + u64::try_from(location.compressed_page_size)?;
        let next = locations.get(number + 1).map(|next| usize::try_from(next.first_row_index)).transpose()?;
        pages.push((start..end, usize::try_from(location.first_row_index)?..next.unwrap_or(rows)));
    }
    Ok(pages)
}
