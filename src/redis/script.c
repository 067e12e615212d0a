/*-------------------------------------------------------------------------
 *
 * script.c
 *	  Where the generated texts of the Lua scripts are compiled in.
 *
 *-------------------------------------------------------------------------
 */
#include "redis/script.h"

/* *INDENT-OFF* */
const char	wtc_cold_text[] =
#include "redis/cold.lua.h"
		   ;

const char	wtc_drain_text[] =
#include "redis/drain.lua.h"
		   ;

const char	wtc_expel_text[] =
#include "redis/expel.lua.h"
		   ;

const char	wtc_fill_text[] =
#include "redis/fill.lua.h"
		   ;

const char	wtc_forget_text[] =
#include "redis/forget.lua.h"
		   ;

const char	wtc_get_text[] =
#include "redis/get.lua.h"
		   ;

const char	wtc_prune_text[] =
#include "redis/prune.lua.h"
		   ;

const char	wtc_store_text[] =
#include "redis/store.lua.h"
		   ;

const char	wtc_sweep_text[] =
#include "redis/sweep.lua.h"
		   ;

const char	wtc_take_text[] =
#include "redis/take.lua.h"
		   ;

const char	wtc_trim_text[] =
#include "redis/trim.lua.h"
		   ;

/* *INDENT-ON* */
const char	wtc_drain_sha[] = WTC_DRAIN_SHA;
const char	wtc_fill_sha[] = WTC_FILL_SHA;
const char	wtc_forget_sha[] = WTC_FORGET_SHA;
const char	wtc_get_sha[] = WTC_GET_SHA;
const char	wtc_prune_sha[] = WTC_PRUNE_SHA;
const char	wtc_store_sha[] = WTC_STORE_SHA;
