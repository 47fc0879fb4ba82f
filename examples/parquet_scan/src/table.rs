//! The table, and a query of it by parquet's own reader.
#![expect(
    deprecated,
    reason = "`ParquetObjectReader` is what hosts have; parquet wants them to write their own"
)]

use crate::BoxError;
use crate::plan::Plan;
use aeth_files::object_store::buffered::BufWriter;
use aeth_files::object_store::path::Path;
use aeth_files::object_store::{ObjectStore, ObjectStoreExt};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use futures_util::TryStreamExt;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::ParquetObjectReader;
use parquet::arrow::{AsyncArrowWriter, ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::properties::WriterProperties;
use std::ops::Range;
use std::sync::Arc;

/// The columns that a query needs; between them lie `note` and `state`, which it does not.
pub(crate) const ID: usize = 0;
pub(crate) const AMOUNT: usize = 3;
/// Rows that are written at once.
const BATCH: u64 = 8_192;

/// A table that was written.
#[derive(Debug)]
pub(crate) struct Table {
    place: Path,
    pub(crate) size: u64,
    pub(crate) pages: usize,
}

/// What a query gave.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) rows: u64,
    pub(crate) sum: f64,
}

/// How many rows a row group of a table of so many has.
pub(crate) fn rows_in_group(rows: u64) -> u64 {
    rows.div_ceil(4)
}

/// Whole numbers, so that their sum is exact in any order.
fn amount(id: u64) -> f64 {
    f64::from(u32::try_from(id.wrapping_mul(2_654_435_761) % 10_000).unwrap_or(0))
}

/// The amounts of some ids in all.
pub(crate) fn sum(ids: &Range<u64>) -> f64 {
    ids.clone().map(amount).sum()
}

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("note", DataType::Utf8, false),
        Field::new("state", DataType::Int64, false),
        Field::new("amount", DataType::Float64, false),
    ]))
}

fn batch(ids: Range<u64>) -> Result<RecordBatch, BoxError> {
    let number = |id: u64| i64::try_from(id).unwrap_or(i64::MAX);
    let note =
        |id: u64| format!("{:0>64x}", u128::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids.clone().map(number))),
        Arc::new(StringArray::from_iter_values(ids.clone().map(note))),
        Arc::new(Int64Array::from_iter_values(ids.clone().map(|id| number(id % 7)))),
        Arc::new(Float64Array::from_iter_values(ids.map(amount))),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

/// Writes the table through the outward adapter, as a stream of parts.
pub(crate) async fn write(store: &Arc<dyn ObjectStore>, rows: u64) -> Result<Table, BoxError> {
    let place = Path::from("tables/orders.parquet");
    let group = usize::try_from(rows_in_group(rows))?;
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(Some(group))
        .set_data_page_size_limit(32 << 10)
        .set_data_page_row_count_limit(4_096)
        .set_write_batch_size(1_024)
        .build();
    let target = BufWriter::new(Arc::clone(store), place.clone());
    let mut writer = AsyncArrowWriter::try_new(target, schema(), Some(properties))?;
    let mut next = 0;
    while next < rows {
        let end = rows.min(next + BATCH);
        writer.write(&batch(next..end)?).await?;
        next = end;
    }
    writer.close().await?;
    let size = store.head(&place).await?.size;
    let mut table = Table { place, size, pages: 0 };
    let reader = table.reader(store).await?;
    let metadata = reader.metadata();
    let pages_of = |number| {
        let index = metadata.page_index_for_row_group(number);
        (0..schema().fields().len())
            .filter_map(move |column| Some(index.page_locations(column)?.len()))
            .sum::<usize>()
    };
    table.pages = (0..metadata.num_row_groups()).map(pages_of).sum();
    Ok(table)
}

impl Table {
    /// Opens the table: its metadata and its page index are read.
    pub(crate) async fn reader(
        &self,
        store: &Arc<dyn ObjectStore>,
    ) -> Result<ParquetRecordBatchStreamBuilder<ParquetObjectReader>, BoxError> {
        let reader =
            ParquetObjectReader::new(Arc::clone(store), self.place.clone()).with_file_size(self.size);
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        Ok(ParquetRecordBatchStreamBuilder::new_with_options(reader, options).await?)
    }

    /// Reads the pages of a plan and adds up the rows that are wanted.
    pub(crate) async fn answer(
        &self,
        reader: ParquetRecordBatchStreamBuilder<ParquetObjectReader>,
        plan: &Plan,
        ids: &Range<u64>,
    ) -> Result<Answer, BoxError> {
        let columns = ProjectionMask::leaves(reader.parquet_schema(), [ID, AMOUNT]);
        let mut batches = reader
            .with_projection(columns)
            .with_row_groups(plan.groups.clone())
            .with_row_selection(plan.selection.clone())
            .build()?;
        let mut answer = Answer::default();
        while let Some(batch) = batches.try_next().await? {
            let found = batch.column(0).as_primitive::<Int64Type>().values();
            let amounts = batch.column(1).as_primitive::<Float64Type>().values();
            for (id, amount) in found.iter().zip(amounts) {
                if ids.contains(&u64::try_from(*id)?) {
                    answer.rows += 1;
                    answer.sum += amount;
                }
            }
        }
        Ok(answer)
    }
}
