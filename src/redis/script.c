/*-------------------------------------------------------------------------
 *
 * script.c
 *	  Where the generated texts of the Lua scripts are compiled in.
 *
 *-------------------------------------------------------------------------
 */
#include "redis/script.h"

/* *INDENT-OFF* */
const char	wtc_apply_text[] =
#include "redis/apply.lua.h"
		   ;
const char	wtc_apply_sha[] = WTC_APPLY_SHA;

const char	wtc_drain_text[] =
#include "redis/drain.lua.h"
		   ;

const char	wtc_position_text[] =
#include "redis/position.lua.h"
		   ;

const char	wtc_covers_text[] =
#include "redis/covers.lua.h"
		   ;

const char	wtc_sweep_text[] =
#include "redis/sweep.lua.h"
		   ;

const char	wtc_cold_text[] =
#include "redis/cold.lua.h"
		   ;

const char	wtc_expel_text[] =
#include "redis/expel.lua.h"
		   ;

/* *INDENT-ON* */
const char	wtc_drain_sha[] = WTC_DRAIN_SHA;
