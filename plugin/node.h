/* The node: roles as processes of this program, and the commands. Exit codes of every command:
 * 0 done · 1 done, but some input was refused or failed · 2 wrong usage · 3 configuration · 4 model or device · 5 network,
 * file system or store · 70 a fault in this program.
 * SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#ifndef COT_NODE_H
#define COT_NODE_H
#include "config/base.h"
#include "config/chain.h"
#include "config/config.h"
#include "plugin/sandbox.h"
#include "plugin/store.h"

#define COT_PROGRAM "stepcot"
#define COT_NOT_A_DEVICE "Not a medical device. Not for diagnosis."

int cot_exit_code(cot_status status);

/* ---- roles: run until SIGTERM (finish or park), return a status for the supervisor ---- */
cot_status cot_serve(const cot_config *config, cot_error *err);                               /* supervisor */
cot_status cot_door_run(const cot_config *config, int listen_fd, cot_error *err);
cot_status cot_worker_run(const cot_config *config, const char *owner, cot_error *err);
cot_status cot_sender_run(const cot_config *config, const cot_config_destination *to, cot_error *err);
/* Set by SIGTERM/SIGINT handlers of the role; every loop looks at it. */
bool cot_stop_asked(void);
void cot_stop_on_signals(void);
/* Sleeps up to ms, returns early when a stop is asked. */
void cot_pause(unsigned ms);

/* ---- the reading as JSON (one schema for --json, store, sandbox) and as a table ---- */
cot_status cot_chain_to_json(char **out, const cot_chain *chain, const cot_steps *steps, const char *source, cot_error *err); /* caller frees */
cot_status cot_chain_from_json(cot_chain **out, const char *json, size_t size, const cot_steps *steps, cot_error *err);
void cot_chain_print(const cot_chain *chain, const cot_steps *steps, const char *source, FILE *stream);
/* A chain that says why an image was not analysed. */
cot_status cot_chain_refuse(cot_chain **out, const cot_steps *steps, const cot_reader *reader, const char *id, const char *text, cot_error *err);

/* ---- PNG and JPEG (picture.c): libpng/libjpeg, bounded; run in a sandbox child ---- */
bool cot_picture_is(const unsigned char *first16);
cot_status cot_picture_load(float **grey, size_t *rows, size_t *cols, const char *path, cot_error *err); /* caller frees */

/* ---- commands: argv[0] is the command's name; return an exit code ---- */
int cot_cmd_serve(int argc, char **argv);
int cot_cmd_role(int argc, char **argv);   /* internal: started by the supervisor */
int cot_cmd_infer(int argc, char **argv);
int cot_cmd_queue(int argc, char **argv);
int cot_cmd_devices(int argc, char **argv);
int cot_cmd_config(int argc, char **argv);
int cot_cmd_model(int argc, char **argv);
int cot_cmd_bench(int argc, char **argv);
int cot_cmd_verify(int argc, char **argv);
int cot_cmd_lint(int argc, char **argv);
int cot_cmd_explain(int argc, char **argv);
int cot_cmd_data(int argc, char **argv);
int cot_cmd_train(int argc, char **argv);
int cot_cmd_evaluate(int argc, char **argv);
int cot_cmd_calibrate(int argc, char **argv);
#endif
