/* Reading an image again whose report nobody can have any more: its file was lost or cleared, or the job had failed and the
 * peer sent the image once more. Both `queue retry` and the front door come here.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/store_internal.h"

#include <errno.h>
#include <unistd.h>

bool store_file_is_gone(const char *path)
{
    return access(path, F_OK) != 0 && errno == ENOENT;
}

bool store_report_is_gone(const cot_job *job)
{
    return job->state == COT_JOB_REPORTED && job->report[0] && store_file_is_gone(job->report);
}

static cot_status revive_deliveries(cot_store *store, const char *id, cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt;
    bool row = true;
    for (;;) {
        COT_TRY(store_query(&stmt, store, err, "SELECT id FROM delivery WHERE job=?1 AND state=?2 LIMIT 1", "si", id,
                            (long long)COT_DELIVERY_DEAD));
        COT_TRY(store_step(store, stmt, &row, err));
        if (!row) break;
        const long long delivery = sqlite3_column_int64(stmt, 0), now = cot_now_us();
        sqlite3_reset(stmt);
        COT_TRY(store_move_delivery(store, delivery, DELIVERY_RETRY, err));
        COT_TRY(store_run(store, err,
                          "UPDATE delivery SET attempts=0, deaths=0, next_us=?2, first_us=?2, text='' WHERE id=?1",
                          "ii", delivery, now));
    }
done:
    return status;
}

cot_status store_redo(cot_store *store, const char *id, cot_error *err)
{
    cot_status status;
    COT_TRY(store_move_job(store, id, JOB_REDO, err));
    COT_TRY(store_run(store, err,
                      "UPDATE job SET attempts=0, deaths=0, alone=0, kept=(images=0), reason='' WHERE id=?1", "s", id));
    status = revive_deliveries(store, id, err);
done:
    return status;
}
