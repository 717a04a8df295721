/* Asks a SavedModel through TensorFlow's C API, without Python.
 *
 *   serve_c_api DIRECTORY REPEATS [-i TENSOR TYPE SHAPE VALUES]... [-o TENSOR]...
 *
 * TENSOR is a name from signatures.json, such as recommend_user_id:0. TYPE is s (string), f (float32) or i (int32). SHAPE
 * and VALUES are lists separated by commas; an empty SHAPE is a scalar. A comma or backslash inside a value has a backslash
 * before it. One JSON list per output, flat, goes to the standard output; milliseconds per call to the standard error.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

#define MOST 32

static void fail(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(2);
}

static void check(TF_Status *status, const char *what) {
  if (TF_GetCode(status) != TF_OK) fail(what, TF_Message(status));
}

static double milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e3 + now.tv_nsec * 1e-6;
}

static TF_Output find(TF_Graph *graph, const char *tensor) {
  char name[512];
  snprintf(name, sizeof name, "%s", tensor);
  char *colon = strrchr(name, ':');
  if (!colon) fail(tensor, "expected NAME:INDEX");
  *colon = 0;
  TF_Output found = {TF_GraphOperationByName(graph, name), atoi(colon + 1)};
  if (!found.oper) fail(tensor, "no such operation");
  return found;
}

/* Takes the next value off a list, in place; NULL at its end. */
static char *next(char **list) {
  char *begin = *list, *to = begin;
  if (!begin) return NULL;
  for (char *from = begin;; from++) {
    if (*from == '\\' && from[1]) {
      *to++ = *++from;
    } else if (*from == ',' || !*from) {
      *list = *from ? from + 1 : NULL;
      *to = 0;
      return begin;
    } else {
      *to++ = *from;
    }
  }
}

static TF_Tensor *parse(char type, char *shape, char *values) {
  int64_t dims[8];
  int rank = 0;
  size_t count = 1;
  for (char *rest = *shape ? shape : NULL, *dim; (dim = next(&rest));) count *= dims[rank++] = atoll(dim);
  TF_DataType dtype = type == 's' ? TF_STRING : type == 'f' ? TF_FLOAT : TF_INT32;
  TF_Tensor *tensor = TF_AllocateTensor(dtype, dims, rank, count * TF_DataTypeSize(dtype) + (type == 's') * count * sizeof(TF_TString));
  void *data = TF_TensorData(tensor);
  for (size_t i = 0; i < count; i++) {
    char *value = next(&values);
    if (!value) fail("values", "fewer than the shape says");
    if (type == 's') {
      TF_TString_Init((TF_TString *)data + i);
      TF_TString_Copy((TF_TString *)data + i, value, strlen(value));
    } else if (type == 'f') {
      ((float *)data)[i] = strtof(value, NULL);
    } else {
      ((int32_t *)data)[i] = atoi(value);
    }
  }
  return tensor;
}

static void print_string(const TF_TString *string) {
  const char *text = TF_TString_GetDataPointer(string);
  putchar('"');
  for (size_t i = 0; i < TF_TString_GetSize(string); i++) {
    if (text[i] == '"' || text[i] == '\\') putchar('\\');
    putchar(text[i]);
  }
  putchar('"');
}

static void print(const TF_Tensor *tensor) {
  const void *data = TF_TensorData(tensor);
  putchar('[');
  for (int64_t i = 0; i < TF_TensorElementCount(tensor); i++) {
    if (i) fputs(", ", stdout);
    switch (TF_TensorType(tensor)) {
      case TF_STRING: print_string((const TF_TString *)data + i); break;
      case TF_BOOL: fputs(((const unsigned char *)data)[i] ? "true" : "false", stdout); break;
      case TF_INT64: printf("%lld", (long long)((const int64_t *)data)[i]); break;
      case TF_FLOAT: {
        float value = ((const float *)data)[i];
        isfinite(value) ? printf("%.9g", value) : printf(isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
        break;
      }
      default: fail("output", "of a type that is not printed");
    }
  }
  puts("]");
}

int main(int count, char **arguments) {
  if (count < 3) fail("usage", "serve_c_api DIRECTORY REPEATS [-i TENSOR TYPE SHAPE VALUES]... [-o TENSOR]...");
  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  const char *tags[] = {"serve"};
  double begin = milliseconds();
  TF_Session *session = TF_LoadSessionFromSavedModel(TF_NewSessionOptions(), NULL, arguments[1], tags, 1, graph, NULL, status);
  check(status, "load");
  fprintf(stderr, "load %.1f ms\n", milliseconds() - begin);

  TF_Output inputs[MOST], outputs[MOST];
  TF_Tensor *given[MOST], *answers[MOST] = {0};
  int number_in = 0, number_out = 0;
  for (int i = 3; i < count && number_in < MOST && number_out < MOST;) {
    if (!strcmp(arguments[i], "-i") && i + 4 < count) {
      inputs[number_in] = find(graph, arguments[i + 1]);
      given[number_in++] = parse(*arguments[i + 2], arguments[i + 3], arguments[i + 4]);
      i += 5;
    } else if (!strcmp(arguments[i], "-o") && i + 1 < count) {
      outputs[number_out++] = find(graph, arguments[i + 1]);
      i += 2;
    } else {
      fail(arguments[i], "expected -i TENSOR TYPE SHAPE VALUES or -o TENSOR");
    }
  }

  int repeats = atoi(arguments[2]);
  for (int run = 0; run <= repeats; run++) {
    /* The first run is slower and does not count. */
    if (run == 1) begin = milliseconds();
    for (int i = 0; i < number_out; i++) {
      if (answers[i]) TF_DeleteTensor(answers[i]);
    }
    TF_SessionRun(session, NULL, inputs, given, number_in, outputs, answers, number_out, NULL, 0, NULL, status);
    check(status, "run");
  }
  if (repeats) fprintf(stderr, "call %.3f ms\n", (milliseconds() - begin) / repeats);
  for (int i = 0; i < number_out; i++) print(answers[i]);
  return 0;
}
