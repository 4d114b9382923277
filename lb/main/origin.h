/* origin.h - `sluice origin`: a small and fast HTTP/1.1 backend for demos, tests and benchmarks. */
#ifndef SLUICE_MAIN_ORIGIN_H
#define SLUICE_MAIN_ORIGIN_H

/* argv[0] is "origin". Runs until TERM or INT; returns an exit code. */
int origin_main(int argc, char **argv);

#endif
